"""Handlers that are `async`: all their calls run on one event loop, in a thread of its own.

So what such a handler's module keeps (a session, a pool of connections) belongs to one loop. The
worker's thread waits for the end of its call, and a call whose result is not wanted any more is
cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from service.processing.handlers import Handler, OrderTask

T = TypeVar("T")

# Seconds between two looks at whether the result is still wanted.
LOOK_SECONDS = 0.5


class EventLoop:
    """An event loop in a daemon thread, which starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, object], wanted: Callable[[], bool]) -> object:
        """Return what `work` returns, or raise what it raises.

        It is cancelled once it is no longer `wanted`. This ends with it and not before, so that
        the caller of one that cannot be cancelled counts as hanging.

        Raises:
            TimeoutError: it was cancelled.
        """
        return self.submit(_attend(work, wanted)).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work`, and return what tells of its end."""
        return asyncio.run_coroutine_threadsafe(work, self._started())

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_run_always, args=(self._loop,), name="async-handlers", daemon=True
                ).start()
            return self._loop


def _run_always(loop: asyncio.AbstractEventLoop) -> None:
    while not loop.is_closed():
        # What raises SystemExit or stops the loop ends this call, but not the other handlers.
        with suppress(BaseException):
            loop.run_forever()


async def _attend(work: Coroutine[Any, Any, object], wanted: Callable[[], bool]) -> object:
    task = asyncio.create_task(work)
    while not task.done() and wanted():
        await asyncio.wait([task], timeout=LOOK_SECONDS)
    # Once, so that it can end in good order.
    task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        raise TimeoutError("the handler was cancelled")
    return task.result()


def run_on(loop: EventLoop, handler: Callable[[OrderTask], Awaitable[object]]) -> Handler:
    """Make a handler that runs the `async` one on the loop."""

    async def call(task: OrderTask) -> object:
        return await handler(task)

    def handle(task: OrderTask) -> object:
        return loop.run(call(task), lambda: not task.cancelled())

    return handle
