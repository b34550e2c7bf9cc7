"""Whether this process may claim now, by what all processors of the database obey."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

from service.processing.clock import DatabaseClock
from service.processing.order_queue import OrderQueue
from service.storage.look import Look

# Seconds for which the last look is taken for fresh.
FRESH_SECONDS = 0.5


class Permit(Enum):
    """What may be claimed."""

    NOTHING = "nothing"
    ONE = "one order, to try a receiver that was away"
    ANY = "any number of orders"


class Gate:
    """Reads the shared state, and tries a receiver that was away, in turn with the others.

    For the dispatcher's thread alone, but for `note_probe_end`.
    """

    def __init__(
        self,
        orders: OrderQueue,
        clock: DatabaseClock,
        lease_seconds: float,
        on_look: Callable[[Look], None],
    ) -> None:
        self._on_look = on_look
        self._orders = orders
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._last: Look | None = None
        self._read_at = 0.0
        self._probing = False
        self._probing_until = 0.0

    def look(self) -> Look:
        """Return what is to do, read again when it is not fresh."""
        asked = time.monotonic()
        if self._last is None or asked - self._read_at > FRESH_SECONDS:
            self._last = self._orders.look(self._clock.rule())
            self._read_at = asked
            self._clock.observe(self._last.state.now, asked)
            self._on_look(self._last)
        return self._last

    @property
    def is_closed(self) -> bool:
        """Whether what was claimed, and has not begun, is not to begin either."""
        if self._last is None:
            return False
        state = self._last.state
        return state.paused or (state.away and not self._probing)

    def permit(self) -> Permit:
        """Return what may be claimed now. For one order, `note_probe_end` has to follow."""
        state = self.look().state
        if not state.paused and not state.away:
            self._probing = False
            return Permit.ANY
        if state.paused:
            return Permit.NOTHING
        if self._probing:
            self._keep_probing()
            return Permit.NOTHING
        if state.left_alone or not self._orders.become_prober(self._lease_seconds):
            return Permit.NOTHING
        self._probing = True
        self._probing_until = time.monotonic() + self._lease_seconds
        return Permit.ONE

    def note_probe_end(self, *, unused: bool = False) -> None:
        """Note that the order which tried the receiver is recorded, or that there was none."""
        self._probing = False
        self._read_at = 0.0
        if unused:
            self._orders.leave_probing()

    def _keep_probing(self) -> None:
        if self._probing_until - time.monotonic() < self._lease_seconds * 2 / 3:
            self._orders.become_prober(self._lease_seconds)
            self._probing_until = time.monotonic() + self._lease_seconds
