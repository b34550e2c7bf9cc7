"""Operations in the processors: they run beside the orders, once for each order, and to their end.

What they are about, batch by batch, is in web/test_operations.py; what becomes of them when
processes die, in test_operation_crash.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from service.processing.handlers import OrderRejected, OrderTask
from service.storage import operations
from service.storage.models import Operation, Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.operations import Action, NewOperation, insert_operation
from tests.support.answers import json_of
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing
from tests.support.stored_orders import add_finished, add_waiting

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_looks")]

POLL_SECONDS = 0.05


def ask(client: FlaskClient, action: str, *, new_key: bool = False, **filters: object) -> int:
    """Begin an operation; return its id."""
    body = {"action": action, "filter": filters} | ({"new_key": True} if new_key else {})
    answer = client.post("/operations", json=body)
    assert answer.status_code == 202, answer.text
    number: int = json_of(answer)["operation_id"]
    return number


def shown(client: FlaskClient, number: int) -> dict[str, Any]:
    body: dict[str, Any] = json_of(client.get(f"/operations/{number}"))
    return body


def wait_ended(client: FlaskClient, number: int) -> dict[str, Any]:
    wait_until(lambda: shown(client, number)["state"] != "Running", SECONDS, "the operation's end")
    return shown(client, number)


def pause(client: FlaskClient) -> None:
    assert client.post("/processing/pause", json={"reason": "a test"}).status_code == 200


def key_versions(store: Store) -> dict[int, int]:
    """Return how many orders were retried how many times with a new key."""
    query = select(Order.key_version, func.count()).group_by(Order.key_version)
    return {row[0]: row[1] for row in store.run(lambda its: its.execute(query).all())}


def test_a_retry_of_many_runs_beside_the_orders(
    client: FlaskClient, store: Store, url: str
) -> None:
    handled: Counter[int] = Counter()

    def handler(task: OrderTask) -> None:
        handled[task.order_id] += 1

    failed, others = set(range(1, 1201)), set(range(2001, 2101))
    add_finished(store, sorted(failed), OrderStatus.FAILED)
    add_finished(store, range(3001, 3011), OrderStatus.COMPLETED)
    store.add_orders(sorted(others))
    number = ask(client, "retry", status="Failed")
    with processing(url, handler, poll_seconds=POLL_SECONDS):
        ended = wait_ended(client, number)
        store.wait_finished(SECONDS)
    assert (ended["state"], ended["changed"], ended["skipped"]) == ("Completed", 1200, 0)
    assert handled == dict.fromkeys(failed | others, 1)
    store.assert_all_completed_once(failed | others)
    assert json_of(client.get("/metrics"))["failed_orders"] == 0


@ONLY_MYSQL
def test_an_order_that_fails_again_meanwhile_is_not_retried_twice(
    client: FlaskClient, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 20)
    handled: Counter[int] = Counter()

    def handler(task: OrderTask) -> None:
        handled[task.order_id] += 1
        raise OrderRejected("still wrong")

    add_finished(store, range(1, 301), OrderStatus.FAILED)
    number = ask(client, "retry")
    with processing(url, handler, poll_seconds=POLL_SECONDS):
        ended = wait_ended(client, number)
        store.wait_finished(SECONDS)
    assert (ended["state"], ended["changed"]) == ("Completed", 300)
    assert handled == dict.fromkeys(range(1, 301), 1)
    assert set(store.statuses().values()) == {"Failed"}
    assert json_of(client.get("/metrics"))["failed_orders"] == 300


def test_several_processors_run_several_operations(
    client: FlaskClient, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 20)
    pause(client)
    add_finished(store, range(1, 201), OrderStatus.FAILED)
    add_waiting(store, range(201, 301))
    numbers = [
        ask(client, "retry", new_key=True),
        ask(client, "cancel", error_contains="away"),
        ask(client, "retry", user_id=2),
    ]

    def never(_task: OrderTask) -> None:
        raise AssertionError("processing pauses")

    # A pause does not stop them: an operator may want to change orders while nothing is claimed.
    with (
        processing(url, never, poll_seconds=POLL_SECONDS),
        processing(url, never, poll_seconds=POLL_SECONDS),
    ):
        ended = [wait_ended(client, number) for number in numbers]
    assert [(one["state"], one["changed"]) for one in ended] == [
        ("Completed", 200),
        ("Completed", 100),
        ("Completed", 0),
    ]
    assert key_versions(store) == {0: 100, 1: 200}
    figures = json_of(client.get("/metrics"))
    assert (figures["pending_orders"], figures["cancelled_orders"]) == (200, 100)
    assert store.statistics().waiting == 0


@ONLY_SQLITE
def test_it_stops_where_it_is(
    client: FlaskClient, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    add_waiting(store, range(1, 1001))
    number = ask(client, "cancel")
    with processing(url, lambda _task: None, poll_seconds=POLL_SECONDS):
        wait_until(lambda: shown(client, number)["changed"], SECONDS, "the first batch")
        stopped = json_of(client.post(f"/operations/{number}/stop"))
        # Another one shows that the processor has gone on since.
        wait_ended(client, ask(client, "retry", user_id=2))
    assert (stopped["state"], stopped["stopped_by"]) == ("Stopped", "admin")
    assert stopped == shown(client, number)
    cancelled = Counter(store.statuses().values())["Cancelled"]
    assert stopped["changed"] == cancelled < 1000
    assert json_of(client.get("/metrics"))["cancelled_orders"] == cancelled


@ONLY_SQLITE
def test_one_that_cannot_go_on_says_why_and_holds_up_no_other(
    client: FlaskClient, store: Store, url: str
) -> None:
    """What an operation asks for is checked when it is stored; but a later release may differ."""
    add_finished(store, [1], OrderStatus.FAILED)
    odd = NewOperation(Action.RETRY, {"created_from": "yesterday"}, "a test")
    number = store.run(lambda its: insert_operation(its, odd))
    other = ask(client, "retry")
    with processing(url, lambda _task: None, poll_seconds=POLL_SECONDS):
        failed = wait_ended(client, number)
        assert wait_ended(client, other)["changed"] == 1
    assert (failed["state"], failed["changed"]) == ("Failed", 0)
    assert "yesterday" in failed["error"]
    assert failed["finished_at"] is not None


def test_one_processor_has_it_to_itself_while_it_lives(client: FlaskClient, store: Store) -> None:
    add_waiting(store, [1, 2, 3])
    number = ask(client, "cancel")

    def find(runner: str) -> int | None:
        return store.run(lambda its: operations.find_work(its, runner, 10))

    assert (find("one"), find("other")) == (number, number)
    taken = {"runner": "one", "runner_until": utcnow(10.0)}
    store.run(lambda its: its.execute(update(Operation).values(**taken)))
    assert (find("one"), find("other")) == (number, None)
    # It died, or the clock was set back meanwhile.
    for until in (utcnow(-0.1), utcnow(60.0)):
        store.run(lambda its: its.execute(update(Operation).values(runner_until=until)))  # noqa: B023
        assert find("other") == number
    client.post(f"/operations/{number}/stop")
    assert (find("one"), find("other")) == (None, None)
