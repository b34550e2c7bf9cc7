"""Whether this process may claim now, by what all processors of the database obey."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from enum import Enum

from service.processing.clock import DatabaseClock
from service.processing.order_queue import OrderQueue
from service.storage.look import Look
from service.storage.results import Result

# Seconds for which the last look is taken for fresh.
FRESH_SECONDS = 0.5


class Permit(Enum):
    """What may be claimed."""

    NOTHING = "nothing"
    ONE = "one order, to try a receiver that was away"
    ANY = "any number of orders"


class Gate:
    """Reads the shared state, and tries a receiver that was away, in turn with the others.

    For the dispatcher's thread alone, but for `is_closed`, `note_absence` and `note_recorded`.
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
        self._lock = threading.Lock()
        # Attempts that met a receiver which is away, and are not recorded yet.
        self._unrecorded_absences = 0
        self._absences = 0
        self._suspicious = False

    def look(self) -> Look:
        """Return what is to do, read again when it is not fresh."""
        asked = time.monotonic()
        if self._last is None or asked - self._read_at > FRESH_SECONDS:
            noted, recorded = self._absences, not self._unrecorded_absences
            self._last = self._orders.look(self._clock.rule())
            self._read_at = asked
            with self._lock:
                if recorded and noted == self._absences:
                    self._suspicious = False
            self._clock.observe(self._last.state.now, asked)
            self._on_look(self._last)
        return self._last

    @property
    def is_closed(self) -> bool:
        """Whether what was claimed, and has not begun, is not to begin either."""
        if self._suspicious:
            return True
        if self._last is None:
            return False
        state = self._last.state
        return state.paused or (state.away and not self._probing)

    def permit(self) -> Permit:
        """Return what may be claimed now. Where there is none to try it with, `leave_probing`."""
        state = self.look().state
        if self._suspicious:
            return Permit.NOTHING
        if not state.paused and not state.away:
            self._probing = False
            return Permit.ANY
        if state.paused:
            return Permit.NOTHING
        if self._probing:
            self._keep_probing()
            return Permit.NOTHING
        if state.left_alone or not self._become_prober():
            return Permit.NOTHING
        self._probing = True
        self._probing_until = time.monotonic() + self._lease_seconds
        return Permit.ONE

    def note_absence(self) -> None:
        """Close at once, until it is recorded and known what that means for all."""
        with self._lock:
            self._suspicious = True
            self._absences += 1
            self._unrecorded_absences += 1

    def note_recorded(self, results: Collection[Result]) -> None:
        """Read the state again, if it depends on one of these results."""
        absences = sum(
            one.absence is not None and not one.absence.others_succeed for one in results
        )
        with self._lock:
            self._unrecorded_absences -= absences
        if any(one.probe for one in results):
            self._probing = False
            self._read_at = 0.0
        if absences:
            self._read_at = 0.0

    def forget_probe(self) -> None:
        """Note that the order which was to try the receiver is not known to this process any more.

        The database lets another one try once the time for this one is over.
        """
        self._probing = False

    def leave_probing(self) -> None:
        """Let another processor try the receiver: there was no order to try it with."""
        self._probing = False
        self._read_at = 0.0
        self._orders.leave_probing()

    def _become_prober(self) -> bool:
        return self._orders.become_prober(self._lease_seconds, self._clock.rule().longest)

    def _keep_probing(self) -> None:
        if self._probing_until - time.monotonic() < self._lease_seconds * 2 / 3:
            self._become_prober()
            self._probing_until = time.monotonic() + self._lease_seconds
