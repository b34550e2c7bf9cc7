"""Handlers that are `async`, in a processor."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.processing.handlers import OrderTask, coroutines
from service.processing.handlers.coroutines import EventLoop, run_on
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing

pytestmark = ONLY_SQLITE
THREADS = 2
TIMEOUT = 0.2


def test_an_order_is_completed_when_its_handler_has_ended(store: Store, url: str) -> None:
    begun, let_go = threading.Event(), threading.Event()

    async def handler(_task: OrderTask) -> None:
        begun.set()
        while not let_go.is_set():
            await asyncio.sleep(0.01)

    store.add_orders([1])
    with processing(url, run_on(EventLoop(), handler)):
        assert begun.wait(SECONDS)
        assert store.statuses() == {1: "Processing"}
        let_go.set()
        store.wait_finished(SECONDS)
    store.assert_all_completed_once({1})


def test_handlers_that_were_cancelled_leave_their_threads_to_others(store: Store, url: str) -> None:
    async def handler(task: OrderTask) -> None:
        if task.order_id <= THREADS - 1:
            await asyncio.sleep(3600)

    with processing(
        url,
        run_on(EventLoop(), handler),
        poll_seconds=0.05,
        processor_threads=THREADS,
        processor_handler_timeout_seconds=TIMEOUT,
        processor_retry_delays=(),
    ) as processor:
        for order_id in (1, 2):
            store.add_orders([order_id])
            store.wait_finished(SECONDS)
        assert processor.problem() is None


def test_a_handler_that_blocks_all_others_ends_the_process_at_last(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come one by one, so that their time-outs do not meet."""
    monkeypatch.setattr(coroutines, "LOOK_SECONDS", TIMEOUT / 10)
    blocked, broken, let_go = [], threading.Event(), threading.Event()

    async def handler(task: OrderTask) -> None:
        blocked.append(task.order_id)
        let_go.wait(SECONDS)

    with processing(
        url,
        run_on(EventLoop(), handler),
        poll_seconds=0.05,
        on_broken=broken.set,
        processor_threads=THREADS,
        processor_handler_timeout_seconds=TIMEOUT,
        processor_retry_delays=(),
    ):
        for order_id in range(1, THREADS + 1):
            store.add_orders([order_id])
            wait_until(lambda: store.statistics().failed == order_id, SECONDS, "a time-out")  # noqa: B023
        assert broken.wait(SECONDS)
        let_go.set()
    assert blocked[0] == 1
