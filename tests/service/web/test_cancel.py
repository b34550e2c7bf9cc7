"""`POST /orders/<order_id>/cancel`: an order on which nobody works yet will not be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.processors import SECONDS, processing
from tests.support.service_process import AUTHORIZATION


def cancel(client: FlaskClient, order_id: object) -> TestResponse:
    return client.post(f"/orders/{order_id}/cancel")


def figures(client: FlaskClient) -> dict[str, int]:
    """Return the counts that are not zero."""
    found = json_of(client.get("/metrics"))
    return {name: value for name, value in found.items() if value and name.endswith("_orders")}


def test_a_pending_order_is_cancelled_and_again(client: FlaskClient) -> None:
    client.post("/orders", json=order_body(1))
    client.post("/orders", json=order_body(2))
    for _ in range(2):
        answer = cancel(client, 1)
        assert answer.status_code == 200
        assert json_of(answer) == {"order_id": 1, "status": "Cancelled"}
        assert figures(client) == {"total_orders": 2, "pending_orders": 1, "cancelled_orders": 1}
    assert json_of(client.get("/orders/1")) == {"order_id": 1, "status": "Cancelled"}
    assert json_of(client.get("/orders/1?view=full"))["status"] == "Cancelled"
    listed = json_of(client.get("/orders?status=Cancelled"))["orders"]
    assert [order["order_id"] for order in listed] == [1]


def test_so_is_one_that_waits_for_a_later_attempt(client: FlaskClient, store: Store) -> None:
    store.add_orders([1, 2])
    first, second = states.claim(store, 2)
    states.record(store, [Result(one, Verdict.RETRY, error="away") for one in (first, second)])
    assert figures(client) == {"total_orders": 2, "pending_orders": 2}
    assert json_of(cancel(client, 1))["status"] == "Cancelled"
    assert figures(client) == {"total_orders": 2, "pending_orders": 1, "cancelled_orders": 1}
    order = json_of(client.get("/orders/1?view=full"))
    assert (order["attempts"], order["last_error"], order["next_attempt_at"]) == (1, "away", None)
    assert states.promote_due(store) == 1
    assert {claim.order_id for claim in states.claim(store)} == {2}


def test_others_are_not(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=1, processing=1, completed=1, failed=1)
    before, counted = store.statuses(), figures(client)
    assert before == {1: "Completed", 2: "Failed", 3: "Processing", 4: "Pending"}
    for order_id in (1, 2, 3):
        assert before[order_id] in error_of(cancel(client, order_id), 409)
        assert figures(client) == counted
    assert store.statuses() == before


@ONLY_SQLITE
@pytest.mark.parametrize(
    "text", ["2", "0", "01", "+1", "1.0", "abc", "%201", str(2**63), "-1", "%D9%A1"]
)
def test_what_is_no_orders_id_is_an_unknown_order(
    client: FlaskClient, store: Store, text: str
) -> None:
    store.add_orders([1])
    assert error_of(cancel(client, text), 404) == "Order not found"
    assert store.statuses() == {1: "Pending"}


@ONLY_SQLITE
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_it_takes_a_post(client: FlaskClient, store: Store, method: str) -> None:
    store.add_orders([1])
    answer = client.open("/orders/1/cancel", method=method)
    error_of(answer, 405)
    assert answer.headers["Allow"] == "POST"
    assert store.statuses() == {1: "Pending"}


def test_a_cancelled_order_is_stored_all_the_same(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "key"}
    client.post("/orders", json=order_body(1), headers=key)
    cancel(client, 1)
    error_of(client.post("/orders", json=order_body(1)), 409)
    again = client.post("/orders", json=order_body(1), headers=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert json_of(client.get("/orders/1"))["status"] == "Cancelled"


def test_a_cancelled_order_is_never_handled(client: FlaskClient, store: Store, url: str) -> None:
    handled = []
    store.add_orders([1, 2, 3])
    cancel(client, 2)
    with processing(url, lambda task: handled.append(task.order_id)):
        store.wait_finished(SECONDS)
    assert sorted(handled) == [1, 3]
    assert figures(client) == {"total_orders": 3, "completed_orders": 2, "cancelled_orders": 1}


def test_a_lease_of_its_own_is_not_lost_to_a_cancel(client: FlaskClient, store: Store) -> None:
    store.add_orders([1])
    [claim] = states.claim(store)
    error_of(cancel(client, 1), 409)
    states.record(store, [Result(claim, Verdict.COMPLETE)])
    assert figures(client) == {"total_orders": 1, "completed_orders": 1}


def test_of_many_at_once_each_counts_once(app: Flask, client: FlaskClient, store: Store) -> None:
    store.add_orders(range(1, 6))
    before = figures(client)
    assert before == {"total_orders": 5, "pending_orders": 5}

    def send(order_id: int) -> int:
        path = f"/orders/{order_id}/cancel"
        return app.test_client().post(path, headers=AUTHORIZATION).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(send, [1, 2, 3] * 6)) == {200}
    assert figures(client) == {"total_orders": 5, "pending_orders": 2, "cancelled_orders": 3}
