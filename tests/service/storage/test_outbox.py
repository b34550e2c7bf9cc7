"""The outbox: each way in which an order ends writes one event, where events are written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import Connection, select, update

from service.app import create_app
from service.processing.order_queue import OrderQueue
from service.storage import operations
from service.storage.models import Event, Order, db
from service.storage.order_changes import cancel, retry
from service.storage.outbox import write_events_on
from service.storage.results import Result, Verdict
from tests.support.commands import run
from tests.support.databases import settings_for
from tests.support.inspection import Store
from tests.support.service_process import AUTHORIZATION
from tests.support.statements import Statement, statements
from tests.support.states import claim, claim_batch, row_of
from tests.support.stored_events import stored_events

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LARGEST = 2**63 - 1
Way = Callable[[Store, OrderQueue], None]


def complete_one(store: Store, orders: OrderQueue) -> None:
    [held] = claim(store)
    assert orders.record([Result(held, Verdict.COMPLETE)]) != [None]


def complete_with_others(store: Store, orders: OrderQueue) -> None:
    store.add_orders([2, 3])
    orders.record([Result(held, Verdict.COMPLETE) for held in claim(store)])


def complete_beside_a_retry(store: Store, orders: OrderQueue) -> None:
    store.add_orders([2])
    first, other = claim(store)
    retried = Result(other, Verdict.RETRY, error="later", delay=60, seconds=1)
    orders.record([Result(first, Verdict.COMPLETE), retried])


def fail(store: Store, orders: OrderQueue) -> None:
    [held] = claim(store)
    orders.record([Result(held, Verdict.FAIL, error="boom", seconds=1)])


def exhaust(store: Store, _orders: OrderQueue) -> None:
    claim(store, lease_seconds=-1)
    assert list(claim_batch(store, max_attempts=1).exhausted) == [LARGEST]


def cancel_it(store: Store, _orders: OrderQueue) -> None:
    rows = [row_of(store, LARGEST)]
    assert store.run(lambda its: cancel(its, rows)).changed == 1


def cancel_by_an_operation(store: Store, orders: OrderQueue) -> None:
    new = operations.NewOperation(operations.Action.CANCEL, {}, "a test")
    number = store.run(lambda its: operations.insert_operation(its, new))
    store.run(
        lambda its: operations.run_batch(its, number, runner="a", seconds=9, slot=orders.slot)
    )


# What the event of order LARGEST says then: its type, attempts and error.
WAYS: dict[Way, tuple[str, int, str | None]] = {
    complete_one: ("order.completed", 1, None),
    complete_with_others: ("order.completed", 1, None),
    complete_beside_a_retry: ("order.completed", 1, None),
    fail: ("order.failed", 1, "boom"),
    exhaust: ("order.failed", 1, "its worker died or lost its lease during the last attempt"),
    cancel_it: ("order.cancelled", 0, None),
    cancel_by_an_operation: ("order.cancelled", 0, None),
}
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@pytest.fixture
def orders(url: str, store: Store) -> OrderQueue:
    """The queue of a processor, on the store's connections."""
    store.add_orders([LARGEST], user_id=LARGEST - 1)
    store.run(lambda its: its.execute(update(Order).values(traceparent=TRACE)))
    return OrderQueue(store.database, settings_for(url))


def sent_for(store: Store, orders: OrderQueue, way: Way) -> list[Statement]:
    with statements(store.database.engine) as sent:
        way(store, orders)
    return sent


@every_way
def test_an_order_that_ends_has_one_event(store: Store, orders: OrderQueue, way: Way) -> None:
    write_events_on(store.database.engine)
    sent = sent_for(store, orders, way)
    ended = {key for key, status in store.statuses().items() if status != "Pending"}
    events = stored_events(store)
    assert sorted(event.order_id for event in events) == sorted(ended)
    assert len([one for one in sent if one.sql.startswith("INSERT INTO events")]) == 1
    [event] = [event for event in events if event.order_id == LARGEST]
    said = (event.type, event.order_attempts, event.order_error)
    assert said == WAYS[way]
    assert (event.user_id, event.traceparent) == (LARGEST - 1, TRACE)
    assert (event.state, event.attempts, event.runner) == ("Waiting", 0, None)
    assert event.due_at == event.created_at
    ids = [event.message_id for event in events]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("msg_") and len(one) == len("msg_") + 32 for one in ids)


@every_way
def test_without_a_receiver_it_costs_nothing(store: Store, orders: OrderQueue, way: Way) -> None:
    sent = sent_for(store, orders, way)
    assert stored_events(store) == []
    assert not [one.sql for one in sent if "events" in one.sql]
    if way is complete_one and store.database.engine.dialect.name == "mysql":
        assert [one.verb for one in sent][-1] == "UPDATE", "one statement, without a transaction"


def test_what_is_rolled_back_leaves_no_event(store: Store, orders: OrderQueue) -> None:
    write_events_on(store.database.engine)
    row = row_of(store, LARGEST)

    class Undone(Exception):
        pass

    def undo(connection: Connection) -> None:
        cancel(connection, [row])
        assert connection.execute(select(Event.order_id)).scalars().all() == [LARGEST]
        raise Undone

    with pytest.raises(Undone):
        store.run(undo)
    assert store.statuses() == {LARGEST: "Pending"}
    assert stored_events(store) == []
    complete_one(store, orders)
    assert [event.type for event in stored_events(store)] == ["order.completed"]


def test_an_order_that_ends_again_has_another_event(store: Store, orders: OrderQueue) -> None:
    write_events_on(store.database.engine)
    fail(store, orders)
    rows = [row_of(store, LARGEST)]
    store.run(lambda its: retry(its, rows))
    complete_one(store, orders)
    first, second = stored_events(store)
    assert (first.type, second.type) == ("order.failed", "order.completed")
    assert second.order_error is None, "the error is of an earlier attempt"
    assert first.message_id != second.message_id


@pytest.mark.parametrize("way", ["API", "command"])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_cancellation_by_hand_has_one_where_they_are_wanted(
    url: str, store: Store, way: str, wanted: bool
) -> None:
    store.add_orders([1])
    given = {"events_url": "http://127.0.0.1:9/", "events_secret": "s"} if wanted else {}
    app = create_app(settings_for(url, **given))
    with app.app_context():
        cancel_by_hand(app, way)
        db.engine.dispose()
    assert store.statuses() == {1: "Cancelled"}
    assert [event.type for event in stored_events(store)] == ["order.cancelled"] * wanted


def cancel_by_hand(app: Flask, way: str) -> None:
    if way == "command":
        assert run(app, "orders", "cancel", "1").exit_code == 0
        return
    answer = app.test_client().post("/orders/1/cancel", headers=AUTHORIZATION)
    assert answer.status_code == 200
