"""The processor in this process: what becomes of an order, by what its handler does."""

from __future__ import annotations

import threading

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from service.processing.handlers import OrderRejected, OrderTask
from service.runtime import runtime
from service.storage.models import Order
from service.storage.order_changes import retry
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, Held, processing
from tests.support.states import pass_time, row_of


def delay_of(store: Store, order_id: int) -> float:
    """Return how long after its last change the order's next attempt is due."""
    query = select(Order.next_attempt_at, Order.updated_at).where(Order.order_id == order_id)
    next_attempt_at, updated_at = store.run(lambda connection: connection.execute(query).one())
    assert next_attempt_at is not None
    seconds: float = (next_attempt_at - updated_at).total_seconds()
    return seconds


def wait_for_error(store: Store, order_id: int, error: str) -> None:
    wait_until(lambda: store.order(order_id).last_error == error, SECONDS, error)


def wait_for_log(caplog: pytest.LogCaptureFixture, text: str) -> None:
    wait_until(lambda: text in caplog.text, SECONDS, f"{text} in the log")


def test_a_handler_that_raises_is_called_again_after_the_delays(store: Store, url: str) -> None:
    """The time passes in the database, where all of it is counted."""
    attempts = []

    def handler(task: OrderTask) -> None:
        attempts.append((task.attempt, task.idempotency_token))
        raise RuntimeError(f"attempt {task.attempt} went wrong")

    store.add_orders([1])
    with processing(
        url, handler, poll_seconds=0.05, processor_retry_delays=(1.0, 5.0, 30.0)
    ) as processor:
        for attempt, seconds in enumerate((1, 5, 30), 1):
            error = f"RuntimeError: attempt {attempt} went wrong"
            wait_for_error(store, 1, error)
            delay = delay_of(store, 1)
            # Jittered by a fifth. SQLite's clock has milliseconds.
            assert seconds * 0.8 - 0.002 <= delay <= seconds * 1.2 + 0.002
            assert store.statuses() == {1: "Pending"}
            pass_time(store, delay)
            processor.wake()
        wait_until(lambda: store.statuses() == {1: "Failed"}, SECONDS, "the failure")
    assert store.order(1).last_error == "RuntimeError: attempt 4 went wrong"
    assert attempts == [(number, "order-1") for number in (1, 2, 3, 4)]
    assert store.statistics().failed == 1


@ONLY_SQLITE
def test_an_order_that_is_rejected_fails_at_once(store: Store, url: str) -> None:
    calls = []

    def handler(task: OrderTask) -> None:
        calls.append(task.order_id)
        if task.order_id == 1:
            raise OrderRejected("never")

    store.add_orders([1, 2])
    with processing(url, handler):
        store.wait_finished(SECONDS)
    assert store.statuses() == {1: "Failed", 2: "Completed"}
    assert store.order(1).last_error == "OrderRejected: never"
    assert sorted(calls) == [1, 2]


@ONLY_SQLITE
def test_a_failed_order_is_completed_by_a_retry_once_the_handler_is_mended(
    store: Store, url: str
) -> None:
    mended = threading.Event()

    def handler(_task: OrderTask) -> None:
        if not mended.is_set():
            raise RuntimeError("not mended yet")

    store.add_orders([1])
    with processing(url, handler, processor_retry_delays=()) as processor:
        wait_until(lambda: store.statuses() == {1: "Failed"}, SECONDS, "the failure")
        mended.set()
        row = row_of(store, 1)
        assert store.run(lambda its: retry(its, [row])).changed
        processor.wake()
        wait_until(lambda: store.statuses() == {1: "Completed"}, SECONDS, "the completion")
    assert (store.statistics().completed, store.statistics().failed) == (1, 0)


@ONLY_SQLITE
def test_an_accepted_order_wakes_the_processor(
    app: Flask, client: FlaskClient, store: Store, url: str
) -> None:
    with processing(url, lambda _task: None) as processor:
        runtime(app).processor = processor
        # The first may be found by the look at the start; the others by nothing but the wake-up.
        for order_id in (1, 2, 3):
            assert client.post("/orders", json=order_body(order_id)).status_code == 201
            wait_until(lambda: set(store.statuses().values()) == {"Completed"}, SECONDS, "the end")


@ONLY_SQLITE
def test_a_processor_looks_for_what_others_have_accepted(store: Store, url: str) -> None:
    with processing(url, lambda _task: None, poll_seconds=0.05):
        for order_id in (1, 2):
            store.add_orders([order_id])
            wait_until(lambda: set(store.statuses().values()) == {"Completed"}, SECONDS, "the end")


@ONLY_SQLITE
def test_a_slow_handler_has_no_more_orders_than_threads(store: Store, url: str) -> None:
    handler = Held()
    store.add_orders(range(1, 21))
    with processing(url, handler, processor_threads=3) as processor:
        wait_until(lambda: len(handler.begun) == 3, SECONDS, "three attempts")
        processor.wake()
        assert store.statistics().processing == 3
        handler.let_go()
        store.wait_finished(SECONDS)
    assert [order_id for order_id, _ in sorted(handler.begun)] == list(range(1, 21))


@ONLY_SQLITE
def test_a_handler_that_hangs_is_given_up_and_the_others_go_on(store: Store, url: str) -> None:
    hanging = Held()

    def handler(task: OrderTask) -> None:
        if task.order_id == 1:
            hanging(task)

    store.add_orders([1, 2, 3])
    with processing(
        url, handler, processor_retry_delays=(1.0,), processor_handler_timeout_seconds=0.3
    ) as processor:
        wait_until(lambda: store.order(1).last_error, SECONDS, "the end of the first attempt")
        pass_time(store, 60)
        store.add_orders([4, 5])
        processor.wake()
        store.wait_finished(SECONDS)
        assert processor.problem() is None, "threads are left"
        hanging.let_go()
    assert store.statuses() == {1: "Failed"} | dict.fromkeys(range(2, 6), "Completed")
    assert "did not end within 0.3 seconds" in str(store.order(1).last_error)
    assert hanging.begun == [(1, 1), (1, 2)]
    assert hanging.cancelled, "no handler was told"


@ONLY_SQLITE
def test_when_all_handlers_hang_the_process_is_given_up(
    store: Store, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Held()
    broken = threading.Event()
    store.add_orders([1, 2])
    with processing(
        url,
        handler,
        on_broken=broken.set,
        processor_threads=2,
        processor_handler_timeout_seconds=0.3,
    ) as processor:
        assert broken.wait(SECONDS)
        assert processor.problem() is not None
        handler.let_go()
    assert "2 order handlers hang" in caplog.text


@ONLY_SQLITE
def test_a_stop_tells_the_handlers_and_gives_back_what_does_not_end(store: Store, url: str) -> None:
    handler = Held()
    store.add_orders([1, 2])
    with processing(url, handler, processor_lease_seconds=600) as processor:
        wait_until(lambda: len(handler.begun) == 2, SECONDS, "two attempts")
        processor.stop(0.5)
        wait_until(lambda: sorted(handler.cancelled) == [1, 2], SECONDS, "handlers that know")
        pending = {1: "Pending", 2: "Pending"}
        wait_until(lambda: store.statuses() == pending, SECONDS, "orders that are given back")
        handler.let_go()
    with processing(url, lambda _task: None):
        store.wait_finished(SECONDS)
    store.assert_all_completed_once({1, 2})
    assert store.attempts() == {1: 2}, "a stop is not the order's fault"


@ONLY_MYSQL
def test_a_database_that_takes_no_writes_is_waited_for(
    store: Store, url: str, mysql_server: MySQLServer, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Held()
    store.add_orders([1, 2])
    with processing(url, handler, processor_threads=1):
        wait_until(lambda: handler.begun, SECONDS, "the first attempt")
        with mysql_server.read_only():
            handler.let_go()
            for failure in ("cannot record 1 results", "cannot claim orders"):
                wait_for_log(caplog, failure)
        store.wait_finished(SECONDS)
    assert handler.begun == [(1, 1), (2, 1)]
    store.assert_all_completed_once({1, 2})
