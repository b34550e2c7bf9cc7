"""Handlers that are `async`: how a call of them ends, and that none takes the others with it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from service.config import Settings
from service.processing.handlers import Handler, OrderRejected, OrderTask, coroutines
from service.processing.handlers.coroutines import EventLoop, run_on
from service.processing.handlers.loading import load_handler
from tests.support import handler_kinds
from tests.support.handler_kinds import TASK

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _nothing_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for noted in (handler_kinds.begun, handler_kinds.done, handler_kinds.stopped):
        noted.clear()
    monkeypatch.setattr(coroutines, "LOOK_SECONDS", 0.02)


def load(name: str) -> Handler:
    return load_handler(Settings(order_handler=f"tests.support.handler_kinds:{name}"))


def call(handle: Handler, task: OrderTask) -> object:
    """Call the handler, and fail when that takes too long."""
    end: Future[object] = Future()

    def work() -> None:
        try:
            end.set_result(handle(task))
        except BaseException as error:  # noqa: BLE001 - whatever it raises is raised
            end.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return end.result(SECONDS)


def is_begun() -> bool:
    """Say whether a handler has begun, as the `cancelled` of a task."""
    return len(handler_kinds.begun) > 0


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(OrderRejected, match="order 1 is none"):
        call(load("raises"), TASK)


def test_a_time_out_of_its_own_is_raised_at_once() -> None:
    with pytest.raises(TimeoutError, match="the warehouse is slow"):
        call(load("times_out_itself"), TASK)


@pytest.mark.parametrize("name", ["hangs", "returns_hanging"])
def test_one_whose_result_is_not_wanted_any_more_is_cancelled(name: str) -> None:
    with pytest.raises(TimeoutError, match="cancelled"):
        call(load(name), replace(TASK, cancelled=is_begun))
    assert handler_kinds.stopped == [TASK.order_id]


def test_the_call_ends_when_the_handler_has_ended_and_not_before() -> None:
    """A thread whose handler goes on counts as hanging: see `Workers`."""
    handle = load("ends_slowly")
    with pytest.raises(TimeoutError, match="cancelled"):
        call(handle, replace(TASK, cancelled=is_begun))
    assert handler_kinds.stopped == [TASK.order_id]


@pytest.mark.parametrize("name", ["exits", "stops_the_loop"])
def test_no_handler_takes_the_event_loop_from_the_others(name: str) -> None:
    loop = EventLoop()
    harmful = run_on(loop, getattr(handler_kinds, name))
    other = run_on(loop, handler_kinds.coroutine)
    if name == "exits":
        with pytest.raises(SystemExit):
            call(harmful, TASK)
    else:
        call(harmful, TASK)
    call(other, replace(TASK, order_id=2))
    assert handler_kinds.done[-1] == 2


def test_handlers_of_several_threads_run_on_one_loop_at_once() -> None:
    """Each waits for all of them, so none ends unless all run at the same time."""
    names = set()
    meeting = None

    async def meet(_task: OrderTask) -> None:
        nonlocal meeting
        meeting = meeting or asyncio.Barrier(3)
        names.add(threading.current_thread().name)
        async with asyncio.timeout(SECONDS):
            await meeting.wait()

    handle = run_on(EventLoop(), meet)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(handle, [TASK] * 3))
    assert names == {"async-handlers"}
