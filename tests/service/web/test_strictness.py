"""One spelling for each thing: what else is refused, and says what was expected."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.answers import error_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

pytestmark = ONLY_SQLITE
# The blueprints of pages, and of watchdogs.
OTHERS = {"console", "docs", "health"}


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


def test_an_empty_parameter_is_refused(client: FlaskClient) -> None:
    """A program that lost a value would get everybody's orders."""
    for query in ("user_id=", "user_id", "status=&user_id=1", "after=", "=", "x="):
        error = error_of(client.get(f"/orders?{query}"), 400)
        assert list(error) == [query.partition("=")[0]]
    assert list(error_of(client.get("/orders/1?view="), 400)) == ["view"]


def test_routes_without_parameters_refuse_all(client: FlaskClient, app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] in OTHERS:
            continue
        path = re.sub(r"<.*?>", "1", rule.rule)
        for method in (rule.methods or set()) - {"HEAD"}:
            answer = client.open(f"{path}?unknown=1", method=method, json={})
            assert error_of(answer, 400) == {"unknown": ["Unknown field."]}, (method, path)


@pytest.mark.parametrize("path", ["/ping", "/healthz"])
def test_watchdogs_may_say_what_they_like(client: FlaskClient, path: str) -> None:
    assert client.get(f"{path}?x=1&x=2&y=").status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_body_is_not_compressed(client: FlaskClient, store: Store, coding: str) -> None:
    answer = client.post("/orders", json=order_body(1), headers={"Content-Encoding": coding})
    assert "content coding" in str(error_of(answer, 415))
    assert answer.headers["Accept-Encoding"] == "identity"
    plain = {"Content-Encoding": "identity"}
    assert client.post("/orders", json=order_body(1), headers=plain).status_code == 201
    assert set(store.statuses()) == {1}
