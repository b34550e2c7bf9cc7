"""What this process holds and may still take, and what wakes its dispatcher."""

from __future__ import annotations

import threading
import time

from service.processing.attempt import InFlight
from service.processing.capacity import Capacity


class Workload:
    """Counts what this process holds, for the threads that claim, work and record.

    After a batch that has to run alone (`isolate`) nothing is claimed before all has ended.
    """

    def __init__(self, capacity: Capacity, in_flight: InFlight) -> None:
        self._capacity = capacity
        self._in_flight = in_flight
        self._changed = threading.Condition()
        self._woken = True
        self._isolate = False
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to be claimed."""
        return self._stopping

    def stop(self) -> None:
        """Claim nothing more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Have the dispatcher look for orders at once."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def await_turn(self, pause: float, poll_seconds: float) -> bool:
        """Wait until there is reason and room to claim, after `pause` seconds at the least.

        Returns:
            False when the processor stops.
        """
        next_poll = time.monotonic() + poll_seconds
        with self._changed:
            if pause:
                self._changed.wait_for(lambda: self._stopping, pause)
            # Not for ever: a pause of all processing has to be seen while all threads are busy.
            self._changed.wait_for(self._has_room, max(0.0, next_poll - time.monotonic()))
            self._changed.wait_for(
                lambda: (self._woken and self._has_room()) or self._stopping,
                max(0.0, next_poll - time.monotonic()),
            )
            return not self._stopping

    def take_turn(self) -> tuple[int, bool]:
        """Return how many orders may be claimed, and whether the dispatcher was woken."""
        with self._changed:
            room = self._capacity.room() if self._has_room() else 0
            woken = self._woken
            if room > 0:
                self._woken = False
            return room, woken

    def taken(self, orders: int, *, isolate: bool, more: bool) -> None:
        """Note that so many orders were claimed, and whether there may be more."""
        with self._changed:
            self._isolate = isolate
            self._capacity.take(orders)
            self._woken |= isolate or more

    def release(self, seconds: float | None = None) -> None:
        """Note that an order needs no thread any more; its handler took so many seconds."""
        with self._changed:
            if seconds is not None:
                self._capacity.observe(seconds)
            self._capacity.release()
            if self._capacity.wants_more():
                self._changed.notify()

    def slow_down(self, seconds: float) -> None:
        """Note that a handler takes that long, at the least."""
        with self._changed:
            self._capacity.observe(seconds)

    def notice_recorded(self) -> None:
        """Note that results were recorded, which an order that has to run alone waits for."""
        if self._isolate:
            with self._changed:
                self._changed.notify()

    def _has_room(self) -> bool:
        if self._stopping:
            return True
        alone = not self._isolate or len(self._in_flight) == 0
        return alone and self._capacity.wants_more()
