"""Places: so many threads may use the database at once, so that some are left for `/ping`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.storage.failures import Overloaded

# Seconds that a caller waits for a place.
PATIENCE = 0.25


class Places:
    """Lets a bounded number of threads in at once.

    Who finds no place waits for one, but only while places change hands: when none has for
    `PATIENCE` seconds, the database hangs, or waits for a lock, and the next ones are refused at
    once. Each use ends by its time-outs, and the next caller has its place, and tries.
    """

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number)
        self._last_change = time.monotonic()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            Overloaded: none became free in time.
        """
        if not self._free.acquire(blocking=False):
            patience = self._last_change + PATIENCE - time.monotonic()
            if patience <= 0 or not self._free.acquire(timeout=patience):
                raise Overloaded("too many requests wait for the database")
        self._last_change = time.monotonic()
        try:
            yield
        finally:
            self._last_change = time.monotonic()
            self._free.release()
