"""How many orders a process holds: as many as it has threads, and a few more when they are quick.

To claim an order and to record its end takes the database some milliseconds, however many orders
share the transaction. Where the handler takes less than that, the threads would wait for orders;
so orders are claimed ahead, as many as the threads will have begun within `AHEAD_SECONDS`. With a
handler that takes longer than `AHEAD_SECONDS` nothing is claimed ahead: what waits here could be
worked on by another process.
"""

from __future__ import annotations

AHEAD_SECONDS = 0.1
LARGEST_AHEAD = 400
# The share of the newest handler in the mean, when it took less.
WEIGHT = 0.02


class Capacity:
    """Counts the orders that wait for a thread or have one. Needs its owner's lock."""

    def __init__(self, threads: int, *, may_claim_ahead: bool) -> None:
        self._threads = threads
        self._may_claim_ahead = may_claim_ahead
        self._held = 0
        # Seconds; at first, nothing is known about the handler.
        self._handler_seconds = AHEAD_SECONDS * threads

    def take(self, orders: int) -> None:
        """Note that so many orders were claimed."""
        self._held += orders

    def release(self) -> None:
        """Note that an order needs no thread any more."""
        self._held -= 1

    def observe(self, seconds: float) -> None:
        """Note how long a handler took: a longer time counts at once, shorter ones slowly."""
        less = seconds - self._handler_seconds
        self._handler_seconds = seconds if less > 0 else self._handler_seconds + WEIGHT * less

    def wants_more(self) -> bool:
        """Return whether orders should be claimed now."""
        return self._held < self._threads or self._held - self._threads < self._ahead() // 2

    def room(self) -> int:
        """Return how many orders may be claimed now."""
        return self._threads + self._ahead() - self._held

    def _ahead(self) -> int:
        if not self._may_claim_ahead:
            return 0
        begun = self._threads * AHEAD_SECONDS / max(self._handler_seconds, 1e-6)
        # Less than a thread's worth is not worth it.
        return 0 if begun <= self._threads else min(LARGEST_AHEAD, int(begun))
