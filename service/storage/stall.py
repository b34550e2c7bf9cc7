"""Notices a database that has stopped answering, so that it does not take all threads with it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STALL_SECONDS = 2.0


class DatabaseStalled(Exception):
    """The database has stopped answering; nothing more is sent to it for now."""


class StallGuard:
    """Counts uses of the database that have waited too long while no other got an answer.

    One slow statement is no stall, nor is a lock that others hold: both leave other uses their
    answers. From `limit` overdue uses on, further ones are refused at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._started: dict[object, float] = {}
        self._last_answer = -math.inf

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch one use, from before it has a connection to its end.

        Raises:
            DatabaseStalled: too many others are overdue.
        """
        use = object()
        now = time.monotonic()
        with self._lock:
            self._refuse_if_stalled(now)
            self._started[use] = now
        try:
            yield
            self.note_answer()
        finally:
            with self._lock:
                del self._started[use]

    def note_answer(self) -> None:
        """Note that the database has answered, if only that a lock is taken."""
        self._last_answer = time.monotonic()

    def _refuse_if_stalled(self, now: float) -> None:
        if now - self._last_answer < STALL_SECONDS:
            return
        overdue = sum(now - started >= STALL_SECONDS for started in self._started.values())
        if overdue >= self._limit:
            raise DatabaseStalled
