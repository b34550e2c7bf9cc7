"""An event loop that a test turns by hand."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from service.server import handover

SECONDS = 10


class Loop:
    """The event loop of the calling thread; `ended` is what its requests have returned."""

    def __init__(self) -> None:
        self.due: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.ended: list[Any] = []
        handover.start_loop(self.call_soon)

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the next turn call the function."""
        self.due.put(lambda: function(*arguments))

    def serve(self, work: Callable[[], object]) -> None:
        """Serve a request, as far as it goes without waiting."""
        handover.serve(work, self.ended.append)

    def turn(self) -> None:
        """Do what has become due, after waiting for it for a moment."""
        with suppress(queue.Empty):
            self.due.get(timeout=0.02)()
        handover.end_turn()

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn until the condition is true."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"ended: {self.ended}"
            self.turn()

    def run_until_ended(self, requests: int) -> list[Any]:
        """Turn until so many requests have ended, and return what they returned."""
        self.run_until(lambda: len(self.ended) >= requests)
        return self.ended
