"""`GET /orders/<order_id>`: an order's status, and the whole order, at each stage of its life."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from flask.testing import FlaskClient

from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import FULL_FIELDS, error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.mark.parametrize("path", ["/orders/124", "/orders/124?view=full"])
def test_an_unknown_order(client: FlaskClient, path: str) -> None:
    client.post("/orders", json=order_body(123))
    assert error_of(client.get(path), 404) == "Order not found"


@ONLY_SQLITE
@pytest.mark.parametrize("text", ["0", "abc", "-1", "1.0", str(2**63), "%D9%A1", " 1"])
def test_what_is_no_order_id_is_an_unknown_order(client: FlaskClient, text: str) -> None:
    client.post("/orders", json=order_body(1))
    assert error_of(client.get(f"/orders/{text}"), 404) == "Order not found"


def test_shows_a_whole_new_order(client: FlaskClient) -> None:
    before = datetime.now(UTC)
    client.post("/orders", json=order_body(123))
    answer = client.get("/orders/123?view=full")
    assert answer.status_code == 200
    order = json_of(answer)
    assert set(order) == FULL_FIELDS
    assert MOMENT.fullmatch(order["created_at"])
    assert order["updated_at"] == order["created_at"]
    # The database's clock may be a little off this machine's.
    assert abs(datetime.fromisoformat(order["created_at"]) - before) < timedelta(seconds=30)
    sent = {key: order[key] for key in ("order_id", "user_id", "item_ids", "total_amount")}
    assert sent == order_body(123) | {"total_amount": Decimal("150.75")}
    assert (order["status"], order["attempts"]) == ("Pending", 0)
    assert (order["processing_time_seconds"], order["last_error"]) == (None, None)
    assert order["next_attempt_at"] is None


@ONLY_SQLITE
@pytest.mark.parametrize("query", ["", "?view=status"])
def test_the_short_view(client: FlaskClient, query: str) -> None:
    client.post("/orders", json=order_body(123))
    assert json_of(client.get(f"/orders/123{query}")) == {"order_id": 123, "status": "Pending"}


@ONLY_SQLITE
@pytest.mark.parametrize("query", ["view=everything", "view=FULL", "limit=5"])
def test_another_query_is_refused(client: FlaskClient, query: str) -> None:
    client.post("/orders", json=order_body(123))
    assert list(error_of(client.get(f"/orders/123?{query}"), 400)) == [query.partition("=")[0]]


def test_shows_an_order_in_processing(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=0, processing=1, completed=0, failed=0)
    assert json_of(client.get("/orders/1")) == {"order_id": 1, "status": "Processing"}
    assert json_of(client.get("/orders/1?view=full"))["attempts"] == 1


def test_shows_a_completed_order(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=0, processing=0, completed=1, failed=0)
    order = json_of(client.get("/orders/1?view=full"))
    assert (order["status"], order["attempts"], order["last_error"]) == ("Completed", 1, None)
    assert order["processing_time_seconds"] == Decimal("0.1")
    assert json_of(client.get("/orders/1")) == {"order_id": 1, "status": "Completed"}


def test_shows_a_failed_order(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=0, processing=0, completed=0, failed=1)
    order = json_of(client.get("/orders/1?view=full"))
    assert (order["status"], order["attempts"], order["last_error"]) == ("Failed", 1, "boom")
    assert order["processing_time_seconds"] is None


def test_an_order_that_waits_for_its_retry_is_pending(client: FlaskClient, store: Store) -> None:
    store.add_orders([1])
    [claim] = states.claim(store, 1)
    states.record(store, [Result(claim, Verdict.RETRY, error="away", delay=60)])
    order = json_of(client.get("/orders/1?view=full"))
    assert (order["status"], order["attempts"], order["last_error"]) == ("Pending", 1, "away")
    assert MOMENT.fullmatch(order["next_attempt_at"])
    failed, due = (
        datetime.fromisoformat(order[name]) for name in ("updated_at", "next_attempt_at")
    )
    # Both by the database's clock, which has milliseconds on SQLite.
    assert abs(due - failed - timedelta(seconds=60)) <= timedelta(milliseconds=1)
    states.pass_time(store, 60)
    states.promote_due(store)
    assert json_of(client.get("/orders/1?view=full"))["next_attempt_at"] is None


@ONLY_SQLITE
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_an_order_cannot_be_modified(client: FlaskClient, method: str) -> None:
    client.post("/orders", json=order_body(123))
    before = client.get("/orders/123?view=full").text
    answer = client.open("/orders/123", method=method, json=order_body(123, user_id=9))
    error_of(answer, 405)
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}
    assert client.get("/orders/123?view=full").text == before
