"""Spreads the connections evenly over the worker processes.

The workers share one listening socket, and a connection is whoever's accepts it first: of 32 that
come at once, one worker often gets nearly all, and serves them on one core while the others idle.
So each worker tells the others how many it has, in memory that they share, and leaves a new one to
whoever has fewer. Only for a moment: the others may be busy, or hang.
"""

from __future__ import annotations

import mmap
import sys
import time

# Workers, those of a reload that still end included.
SLOTS = 256
ABSENT = -1
# How long, in seconds, a connection is left to the others.
PATIENCE = 0.005


class ConnectionCounts:
    """How many connections each worker has; made before the workers are, and shared by them."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * SLOTS)).cast("i")
        for slot in range(SLOTS):
            self._counts[slot] = ABSENT

    def set(self, worker: int, count: int) -> None:
        """Tell how many connections the worker has; `worker` is its number, counted from the
        master's start."""
        self._counts[worker % SLOTS] = count

    def remove(self, worker: int) -> None:
        """Tell that the worker takes no more connections."""
        self._counts[worker % SLOTS] = ABSENT

    def least(self) -> int:
        """Return the count of the worker that has the fewest; without any, nobody has fewer."""
        return min((count for count in self._counts if count != ABSENT), default=sys.maxsize)


class Turn:
    """Tells one worker whether to take a connection that waits, or to leave it to the others."""

    def __init__(self, counts: ConnectionCounts) -> None:
        self._counts = counts
        self._deadline: float | None = None

    def is_mine(self, count: int) -> bool:
        """Tell it, for a worker that has so many connections."""
        if count <= self._counts.least():
            self._deadline = None
            return True
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + PATIENCE
        mine = now >= self._deadline
        if mine:
            self._deadline = None
        return mine

    def end(self) -> None:
        """Nothing waits any more: the next connection has the whole patience."""
        self._deadline = None
