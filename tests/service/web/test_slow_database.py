"""A database that answers late: requests that need many statements end in time."""

from __future__ import annotations

import time

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, text

from service import runtime
from service.storage import database
from service.storage.failures import Overloaded
from tests.support.answers import error_of
from tests.support.console import OWN_PAGE, text_of
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store

pytestmark = ONLY_SQLITE


@pytest.mark.parametrize("path", ["/console/", "/console/orders/1", "/orders/1/attempts"])
def test_no_further_statement_of_a_request_is_begun_late(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    store.add_orders([1])
    assert client.get(path).status_code == 200
    monkeypatch.setattr(runtime, "LATEST_STATEMENT", -1.0)
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_nor_one_of_several_that_belong_together(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_orders([1])
    with monkeypatch.context() as late:
        late.setattr(database, "LATEST_STATEMENT", -1.0)
        text_of(client.get("/console/orders"), 503)
        text_of(client.post("/console/orders/1/cancel", headers=OWN_PAGE), 503)
        for method, path in (("GET", "/orders"), ("POST", "/orders/1/cancel")):
            assert "Try again later" in error_of(client.open(path, method=method), 503)
    assert store.statuses() == {1: "Pending"}


def test_what_was_done_is_rolled_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_orders([1])
    change = text("UPDATE orders SET user_id = user_id + 1")

    def user() -> int | None:
        return store.run(lambda its: its.execute(text("SELECT user_id FROM orders")).scalar())

    before = user()
    with monkeypatch.context() as late:

        def work(connection: Connection) -> None:
            connection.execute(change)
            late.setattr(database, "LATEST_STATEMENT", -1.0)
            connection.execute(change)

        with pytest.raises(Overloaded):
            store.database.transaction(database.in_time(work, time.monotonic()))
    assert user() == before
