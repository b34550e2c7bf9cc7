"""Leases in this process: they are kept while handlers run, and what is lost or late is let go."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import func, select

from service.processing.handlers import OrderTask
from service.processing.order_queue import OrderQueue
from service.storage.claims import ClaimedBatch, LeaseRule
from service.storage.models import Order
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, Held, processing
from tests.support.states import claim, pass_time

pytestmark = ONLY_SQLITE
LEASE_SECONDS = 1.0
FINE, SLOW = 1, 2


def lease_end(store: Store) -> Any:
    """Return the latest moment at which an order's lease ends."""
    query = select(func.max(Order.available_at)).where(Order.lease_owner.is_not(None))
    return store.run(lambda connection: connection.execute(query).scalar())


def test_a_lease_is_renewed_while_the_handler_runs(store: Store, url: str) -> None:
    handler = Held()
    store.add_orders([1])
    with processing(url, handler, processor_lease_seconds=3 * LEASE_SECONDS):
        wait_until(lambda: handler.begun, SECONDS, "the attempt")
        first = lease_end(store)
        wait_until(lambda: lease_end(store) > first, SECONDS, "a longer lease")
        handler.let_go()
        store.wait_finished(SECONDS)
    assert handler.begun == [(1, 1)]
    assert not handler.cancelled
    store.assert_all_completed_once({1})


def test_a_handler_whose_lease_was_lost_is_told_and_its_result_counts_for_nothing(
    store: Store, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Held()
    store.add_orders([1])
    with processing(url, handler, processor_lease_seconds=LEASE_SECONDS):
        wait_until(lambda: handler.begun, SECONDS, "the attempt")

        def take() -> bool:
            pass_time(store, 60)
            return bool(claim(store, owner="other"))

        wait_until(take, SECONDS, "another's claim")
        wait_until(lambda: handler.cancelled == [1], SECONDS, "a handler that knows")
        handler.let_go()
        wait_until(lambda: "lease lost" in caplog.text, SECONDS, "the loss in the log")
    assert store.statuses() == {1: "Processing"}


def test_an_order_that_never_began_has_used_no_attempt(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is so slow that leases end before the handlers begin."""
    store.add_orders([1])
    claim_at_once = OrderQueue.claim
    slow = iter([True, True])
    attempts: list[int] = []

    def claim_slowly(
        orders: OrderQueue, limit: int, *, idle: bool, rule: LeaseRule
    ) -> ClaimedBatch:
        batch = claim_at_once(orders, limit, idle=idle, rule=rule)
        if bool(batch.claims) and next(slow, False):
            time.sleep(LEASE_SECONDS)
        return batch

    monkeypatch.setattr(OrderQueue, "claim", claim_slowly)
    with processing(
        url, lambda task: attempts.append(task.attempt), processor_lease_seconds=LEASE_SECONDS
    ):
        store.wait_finished(SECONDS)
    assert attempts == [1]
    assert store.attempts() == {1: 1}


def test_orders_that_wait_for_a_slow_thread_are_given_to_others(store: Store, url: str) -> None:
    slow, let_go = [], threading.Event()

    def handler(task: OrderTask) -> None:
        if task.user_id == SLOW:
            slow.append(task.order_id)
            assert let_go.wait(SECONDS)

    store.add_orders(range(1, 401), user_id=FINE)
    store.add_orders([1001, 1002], user_id=SLOW)
    store.add_orders(range(2001, 2051), user_id=FINE)
    with processing(url, handler, processor_threads=2):
        wait_until(lambda: len(slow) == 2, SECONDS, "two slow orders")
        behind = dict.fromkeys(range(2001, 2051), "Pending")
        given_back = wait_until(
            lambda: behind.items() <= store.statuses().items(), SECONDS, "orders given back"
        )
        with processing(url, handler, processor_threads=2, poll_seconds=0.05):
            wait_until(lambda: store.statistics().completed == 450, SECONDS, "those behind them")
        assert store.statistics().processing == 2
        let_go.set()
        store.wait_finished(SECONDS)
    assert given_back, "none was"
    assert store.attempts() == {1: 452}, "to wait is no attempt"
