"""Handlers that are `async`: all their calls run on one event loop, in a thread of its own.

So what such a handler's module keeps (a session, a pool of connections) belongs to one loop. The
worker's thread waits for the end of its call, and a call whose result is not wanted any more is
cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any

from service.processing.handlers import Handler, OrderTask

# Seconds between two looks at whether the result is still wanted.
LOOK_SECONDS = 0.5


class EventLoop:
    """An event loop in a daemon thread, which starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, object], wanted: Callable[[], bool]) -> object:
        """Return what `work` returns, or raise what it raises.

        It is cancelled once it is no longer `wanted`.

        Raises:
            TimeoutError: it was cancelled.
        """
        future: Future[object] = asyncio.run_coroutine_threadsafe(work, self._started())
        while True:
            try:
                return future.result(LOOK_SECONDS)
            except TimeoutError:
                if future.done():
                    return future.result()  # or its own TimeoutError
                if not wanted():
                    future.cancel()
            except CancelledError:
                raise TimeoutError("the handler was cancelled") from None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="async-handlers", daemon=True
                ).start()
            return self._loop


def run_on(loop: EventLoop, handler: Callable[[OrderTask], Awaitable[object]]) -> Handler:
    """Make a handler that runs the `async` one on the loop."""

    async def call(task: OrderTask) -> object:
        return await handler(task)

    def handle(task: OrderTask) -> object:
        return loop.run(call(task), lambda: not task.cancelled())

    return handle
