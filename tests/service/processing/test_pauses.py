"""A pause: every processor claims nothing more, gives back what has not begun, and waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection

from service.processing import order_queue
from service.processing.handlers import OrderTask
from service.processing.processor import POLL_SECONDS
from service.storage.claims import LeaseRule
from service.storage.look import Look, look
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing

# The contract's, from the answer until every processor obeys.
pytestmark = pytest.mark.slow

OBEYED_SECONDS = 2.0
THREADS = 2
# After so many orders that took no time the processor claims ahead.
QUICK, ORDERS = 400, 2000


class HeldLater:
    """A handler that is quick at first, and then waits to be let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.let_go = threading.Event()

    def __call__(self, task: OrderTask) -> None:
        self.begun.append(task.order_id)
        if len(self.begun) > QUICK:
            assert self.let_go.wait(SECONDS)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, fresh_looks: None) -> Callable[[], None]:  # noqa: ARG001
    """What waits until the processors have looked three times more for what they may do."""
    number = count()
    seen = [0]

    def counted(connection: Connection, rule: LeaseRule) -> Look:
        found = look(connection, rule)
        seen[0] = next(number)
        return found

    def wait() -> None:
        before = seen[0]
        wait_until(lambda: seen[0] >= before + 3, SECONDS, "three looks")

    monkeypatch.setattr(order_queue, "look", counted)
    return wait


def pause(client: FlaskClient) -> float:
    """Pause all processing; return when that was answered."""
    answer = client.post("/processing/pause", json={"reason": "a test"})
    assert answer.status_code == 200
    return time.monotonic()


def resume(client: FlaskClient) -> float:
    """Resume it; return when that was answered."""
    assert client.post("/processing/resume").status_code == 200
    return time.monotonic()


@ONLY_SQLITE
def test_it_gives_back_what_has_not_begun_and_goes_on_later(
    client: FlaskClient, store: Store, url: str
) -> None:
    handler = HeldLater()
    store.add_orders(range(1, ORDERS + 1))
    # As in a service: it looks once a second, and nobody wakes it.
    with processing(url, handler, poll_seconds=POLL_SECONDS, processor_threads=THREADS):
        wait_until(lambda: len(handler.begun) == QUICK + THREADS, SECONDS, "handlers that wait")
        wait_until(lambda: store.statistics().completed == QUICK, SECONDS, "the quick ones")
        assert store.statistics().processing > THREADS, "nothing was claimed ahead"
        paused = pause(client)
        wait_until(lambda: store.statistics().processing == THREADS, SECONDS, "the others back")
        assert time.monotonic() - paused <= OBEYED_SECONDS
        assert store.attempts() == {1: QUICK + THREADS, 0: ORDERS - QUICK - THREADS}
        handler.let_go.set()
        wait_until(lambda: store.statistics().processing == 0, SECONDS, "what had begun")
        assert store.statistics().completed == len(handler.begun) == QUICK + THREADS
        resumed = resume(client)
        wait_until(lambda: len(handler.begun) > QUICK + THREADS, SECONDS, "the next order")
        assert time.monotonic() - resumed <= OBEYED_SECONDS
        store.wait_finished(SECONDS)
    store.assert_all_completed_once(set(range(1, ORDERS + 1)))
    assert sorted(handler.begun) == list(range(1, ORDERS + 1))
    assert store.attempts() == {1: ORDERS}


def test_it_holds_for_every_processor_and_after_their_restart(
    client: FlaskClient, store: Store, url: str, looks: Callable[[], None]
) -> None:
    handled: list[int] = []

    def handler(task: OrderTask) -> None:
        handled.append(task.order_id)

    def changes() -> set[datetime]:
        return {store.order(order_id).updated_at for order_id in store.statuses()}

    pause(client)
    store.add_orders([1, 2, 3])
    stored = changes()
    for _ in range(2):
        with (
            processing(url, handler, poll_seconds=0.05) as one,
            processing(url, handler, poll_seconds=0.05) as other,
        ):
            one.wake()
            other.wake()
            looks()
        assert handled == []
        assert changes() == stored, "something was claimed, if only to be given back"
    with processing(url, handler, poll_seconds=0.05):
        looks()
        assert handled == []
        resume(client)
        store.wait_finished(SECONDS)
    assert sorted(handled) == [1, 2, 3]


@ONLY_SQLITE
def test_orders_are_accepted_meanwhile(
    client: FlaskClient, store: Store, url: str, looks: Callable[[], None]
) -> None:
    body = {"user_id": 1, "item_ids": [1], "total_amount": 1}
    with processing(url, lambda _task: None, poll_seconds=0.05) as processor:
        pause(client)
        looks()
        assert client.post("/orders", json=body | {"order_id": 1}).status_code == 201
        processor.wake()
        looks()
        assert store.statuses() == {1: "Pending"}
        assert processor.problem() is None, "a pause is no problem"
        resume(client)
        store.wait_finished(SECONDS)
    assert store.statuses() == {1: "Completed"}
