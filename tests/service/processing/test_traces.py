"""The trace in which an order was posted goes on with it: to its handler, and into the log."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import update

from service.processing.handlers import OrderRejected, OrderTask
from service.processing.handlers.coroutines import EventLoop, run_on
from service.storage.models import Order
from service.telemetry import tracing
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing

TRACE = f"00-{7:032x}-{8:016x}-01"
TRACE_ID = f"{7:032x}"

Seen = dict[int, tuple[str | None, str | None]]


def add_orders(store: Store, *, traced: int, untraced: int) -> None:
    store.add_orders([traced, untraced])
    query = update(Order).where(Order.order_id == traced).values(traceparent=TRACE)
    store.run(lambda connection: connection.execute(query))


def said(caplog: pytest.LogCaptureFixture) -> set[tuple[int, str, str | None]]:
    """Return what was said of orders: of which one, how loudly, and with which trace."""
    own = [record.__dict__ for record in caplog.records]
    return {
        (one["order_id"], one["levelname"], one.get("trace_id")) for one in own if "order_id" in one
    }


def test_a_handler_is_told_the_trace_if_there_is_one(store: Store, url: str) -> None:
    seen: Seen = {}

    def handler(task: OrderTask) -> None:
        seen[task.order_id] = task.traceparent, tracing.current.get()

    add_orders(store, traced=1, untraced=2)
    with processing(url, handler, processor_threads=1):
        store.wait_finished(SECONDS)
    assert seen == {1: (TRACE, TRACE), 2: (None, None)}


@ONLY_SQLITE
def test_so_is_one_that_is_async(store: Store, url: str) -> None:
    seen: Seen = {}

    async def handler(task: OrderTask) -> None:
        seen[task.order_id] = task.traceparent, tracing.current.get()

    add_orders(store, traced=1, untraced=2)
    with processing(url, run_on(EventLoop(), handler), processor_threads=1):
        store.wait_finished(SECONDS)
    assert seen == {1: (TRACE, TRACE), 2: (None, None)}


@ONLY_SQLITE
def test_what_is_said_of_its_attempts_names_the_trace(
    store: Store, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(task: OrderTask) -> None:
        if task.attempt == 1:
            raise RuntimeError("not yet")
        raise OrderRejected("never")

    add_orders(store, traced=1, untraced=2)
    with (
        caplog.at_level(logging.INFO, "service"),
        processing(url, handler, poll_seconds=0.05, processor_retry_delays=(0.0,)),
    ):
        store.wait_finished(SECONDS)
        wait_until(lambda: caplog.text.count("order failed") == 2, SECONDS, "both in the log")
    assert said(caplog) == {
        (1, "WARNING", TRACE_ID),
        (1, "ERROR", TRACE_ID),
        (2, "WARNING", None),
        (2, "ERROR", None),
    }


@ONLY_SQLITE
def test_an_order_without_attempts_left_names_it_as_well(
    store: Store, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_orders(store, traced=1, untraced=2)
    spent = update(Order).values(attempts=1)
    store.run(lambda connection: connection.execute(spent))
    with processing(url, lambda _task: None, processor_retry_delays=()):
        store.wait_finished(SECONDS)
        wait_until(lambda: caplog.text.count("no attempt left") == 2, SECONDS, "both in the log")
    assert said(caplog) == {(1, "ERROR", TRACE_ID), (2, "ERROR", None)}
