"""`GET /orders/<order_id>/attempts`: how each attempt at an order began and ended."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.processing.handlers import OrderRejected, OrderTask
from service.storage import order_changes
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, Held, processing

FIELDS = {"attempt", "started_at", "ended_at", "result", "error", "worker"}
# Of the database's clock: SQLite's has milliseconds.
TICK = timedelta(milliseconds=2)


def attempts_at(client: FlaskClient, order_id: int) -> list[dict[str, Any]]:
    answer = client.get(f"/orders/{order_id}/attempts")
    assert answer.status_code == 200, answer.text
    body = json_of(answer)
    assert set(body) == {"attempts"}
    assert all(set(attempt) == FIELDS for attempt in body["attempts"])
    attempts: list[dict[str, Any]] = body["attempts"]
    return attempts


def took(attempt: dict[str, Any]) -> timedelta:
    """Return how long an attempt took, by what is told of it."""
    started, ended = (
        datetime.fromisoformat(attempt[f"{name}_at"]) for name in ("started", "ended")
    )
    assert abs(datetime.now(UTC) - ended) < timedelta(minutes=5)
    return ended - started


def test_a_new_order_has_none(client: FlaskClient) -> None:
    client.post("/orders", json=order_body(1))
    assert attempts_at(client, 1) == []


@ONLY_SQLITE
@pytest.mark.parametrize("text", ["2", "01", "abc", "0", str(2**63)])
def test_an_unknown_order(client: FlaskClient, store: Store, text: str) -> None:
    store.add_orders([1])
    assert error_of(client.get(f"/orders/{text}/attempts"), 404) == "Order not found"


def test_an_attempt_that_completed_at_once_is_told_from_the_order(
    client: FlaskClient, store: Store
) -> None:
    states.fill(store, pending=0, processing=0, completed=1, failed=0)
    [attempt] = attempts_at(client, 1)
    assert (attempt["attempt"], attempt["result"], attempt["error"]) == (1, "completed", None)
    # The order took 0.1 s.
    assert abs(took(attempt) - timedelta(seconds=0.1)) <= TICK
    order = json_of(client.get("/orders/1?view=full"))
    assert attempt["ended_at"] == order["updated_at"]


@ONLY_SQLITE
@pytest.mark.usefixtures("fresh_looks")
def test_two_that_failed_and_one_that_completed(
    client: FlaskClient, store: Store, url: str
) -> None:
    def handler(task: OrderTask) -> None:
        if task.attempt < 3:
            raise RuntimeError(f"attempt {task.attempt} went wrong")

    store.add_orders([1])
    delays = (3600.0, 3600.0)
    with processing(url, handler, poll_seconds=0.05, processor_retry_delays=delays) as processor:
        for attempt in (1, 2):
            error = f"RuntimeError: attempt {attempt} went wrong"
            wait_until(lambda: store.order(1).last_error == error, SECONDS, error)  # noqa: B023
            states.pass_time(store, 5000)
            processor.wake()
        store.wait_finished(SECONDS)
    found = attempts_at(client, 1)
    assert [(one["attempt"], one["result"], one["error"]) for one in found] == [
        (1, "failed", "RuntimeError: attempt 1 went wrong"),
        (2, "failed", "RuntimeError: attempt 2 went wrong"),
        (3, "completed", None),
    ]
    assert found[0]["worker"] == found[1]["worker"]
    assert f":{os.getpid()}:" in found[0]["worker"]
    assert all(timedelta(0) <= took(one) < timedelta(seconds=SECONDS) for one in found)
    starts = [one["started_at"] for one in found]
    assert starts == sorted(starts)


@ONLY_SQLITE
def test_one_that_was_rejected_and_one_that_took_too_long(
    client: FlaskClient, store: Store, url: str
) -> None:
    hanging = Held()

    def handler(task: OrderTask) -> None:
        if task.order_id == 1:
            raise OrderRejected("never")
        hanging(task)

    store.add_orders([1, 2])
    with processing(url, handler, processor_retry_delays=(), processor_handler_timeout_seconds=0.3):
        store.wait_finished(SECONDS)
        hanging.let_go()
    [rejected] = attempts_at(client, 1)
    assert (rejected["result"], rejected["error"]) == ("rejected", "OrderRejected: never")
    [late] = attempts_at(client, 2)
    assert late["result"] == "timed_out"
    assert "did not end within 0.3 seconds" in late["error"]
    assert took(late) >= timedelta(seconds=0.3) - TICK


def test_one_that_lost_its_lease(client: FlaskClient, store: Store) -> None:
    store.add_orders([1])
    states.claim(store, owner="the dead one", lease_seconds=60)
    assert attempts_at(client, 1) == [], "it has not ended yet"
    states.pass_time(store, 61)
    [claim] = states.claim(store, owner="the other one")
    [lost] = attempts_at(client, 1)
    assert (lost["attempt"], lost["result"], lost["worker"]) == (1, "lost", "the dead one")
    assert lost["error"]
    states.record(store, [Result(claim, Verdict.COMPLETE, microseconds=1000)])
    assert [one["result"] for one in attempts_at(client, 1)] == ["lost", "completed"]


def test_one_that_a_stop_cut_off(client: FlaskClient, store: Store, url: str) -> None:
    handler = Held()
    store.add_orders([1])
    with processing(url, handler) as processor:
        wait_until(lambda: handler.begun, SECONDS, "the attempt")
        processor.stop(0.2)
        wait_until(lambda: store.statuses() == {1: "Pending"}, SECONDS, "the order given back")
        handler.let_go()
    [attempt] = attempts_at(client, 1)
    assert (attempt["attempt"], attempt["result"]) == (1, "given_back")
    assert json_of(client.get("/orders/1?view=full"))["attempts"] == 0


def test_a_retry_leaves_what_was_before(client: FlaskClient, store: Store) -> None:
    store.add_orders([1])
    for _ in range(2):
        [claim] = states.claim(store)
        states.record(store, [Result(claim, Verdict.FAIL, error="boom", seconds=0.1)])
        row = states.row_of(store, 1)
        assert store.run(lambda its: order_changes.retry(its, [row])).changed  # noqa: B023
    assert [one["attempt"] for one in attempts_at(client, 1)] == [1, 1]
