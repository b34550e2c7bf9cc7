"""One spelling for each thing: what else is refused, and says what was expected."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

pytestmark = ONLY_SQLITE


def test_an_id_has_one_spelling(client: FlaskClient, store: Store) -> None:
    store.add_orders([123])
    assert client.get("/orders/123").status_code == 200
    for spelling in ("0123", "+123", "123.0", " 123"):
        error_of(client.get(f"/orders/{spelling}"), 404)


@pytest.mark.parametrize(
    "query", ["limit=1&limit=5", "status=Failed&status=", "user_id=1&user_id=1"]
)
def test_a_parameter_is_given_once(client: FlaskClient, query: str) -> None:
    name = query.partition("=")[0]
    assert error_of(client.get(f"/orders?{query}"), 400) == {name: ["Given more than once."]}


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_body_is_not_compressed(client: FlaskClient, store: Store, coding: str) -> None:
    answer = client.post("/orders", json=order_body(1), headers={"Content-Encoding": coding})
    assert "content coding" in str(error_of(answer, 415))
    assert answer.headers["Accept-Encoding"] == "identity"
    plain = {"Content-Encoding": "identity"}
    assert client.post("/orders", json=order_body(1), headers=plain).status_code == 201
    assert set(store.statuses()) == {1}
