"""Keeps the leases of running attempts, and ends attempts that take too long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from service.processing.attempt import Attempt, InFlight
from service.processing.order_queue import OrderQueue
from service.storage.failures import describe, is_unavailable

# In seconds: orders are claimed ahead for much less, so their threads have become slow.
LONGEST_WAIT = 1.0

log = logging.getLogger(__name__)


class LeaseKeeper:
    """A thread that renews each lease when a third of it has passed.

    An attempt whose lease was lost, or could not be renewed in time, is cancelled: its handler is
    told, and one that has not begun does not begin. `on_timeout` is called with each attempt
    whose handler has run for longer than `handler_timeout` seconds, until it ends, and `on_waiting`
    with each that has waited for a thread for longer than `LONGEST_WAIT`.
    """

    def __init__(
        self,
        orders: OrderQueue,
        in_flight: InFlight,
        *,
        lease_seconds: float,
        handler_timeout: float,
        on_timeout: Callable[[Attempt], None],
        on_waiting: Callable[[Attempt], None],
    ) -> None:
        self._orders = orders
        self._in_flight = in_flight
        self._lease_seconds = lease_seconds
        self._handler_timeout = handler_timeout
        self._on_timeout = on_timeout
        self._on_waiting = on_waiting
        self._tick = min(1.0, lease_seconds / 10, handler_timeout / 4)
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def stop(self) -> None:
        """Let the thread end."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._tick):
            try:
                self._end_slow()
                self._renew_due()
            except Exception as error:
                known = is_unavailable(error)
                exc_info = None if known else error
                log.warning("cannot renew leases: %s", describe(error), exc_info=exc_info)
            self._cancel_expired()

    def _renew_due(self) -> None:
        now = time.monotonic()
        due = [
            attempt
            for attempt in self._in_flight.all()
            if attempt.lease_ends - now < self._lease_seconds * 2 / 3
        ]
        if not due:
            return
        held = self._orders.renew([attempt.claim for attempt in due])
        for attempt in due:
            if attempt.claim.key in held:
                # Counted from before the statement was sent, so never longer than the database's.
                attempt.lease_ends = now + self._lease_seconds
            else:
                attempt.cancel()

    def _cancel_expired(self) -> None:
        now = time.monotonic()
        for attempt in self._in_flight.all():
            if attempt.lease_ends <= now:
                attempt.cancel()

    def _end_slow(self) -> None:
        now = time.monotonic()
        for attempt in self._in_flight.all():
            if attempt.started is None:
                if attempt.claimed < now - LONGEST_WAIT:
                    self._on_waiting(attempt)
            elif attempt.started < now - self._handler_timeout:
                self._on_timeout(attempt)
