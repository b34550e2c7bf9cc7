"""An attempt at one order inside this process, and the table of those under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from service.processing.handlers import OrderTask
from service.storage.claims import Claim


class Attempt:
    """A claimed order on its way through this process.

    Its result is decided once: by the handler's end, by its time-out, by a wait for a thread that
    is too long, or by the service's stop, whichever comes first (`end`). Moments are of
    `time.monotonic`, in seconds. `claimed_in` is the span of the claim, if there is one.
    """

    def __init__(
        self,
        claim: Claim,
        lease_ends: float,
        *,
        probe: bool = False,
        claimed_in: str | None = None,
    ) -> None:
        self.claim = claim
        self.claimed_in = claimed_in
        self.lease_ends = lease_ends
        # Whether it tries a receiver that was away.
        self.probe = probe
        self.claimed = time.monotonic()
        self.started: float | None = None
        self._cancelled = False
        self._lock = threading.Lock()
        self._ended = False

    def begin(self) -> bool:
        """Note that the handler starts; False when it must not start any more."""
        with self._lock:
            if self._ended or self._cancelled or time.monotonic() >= self.lease_ends:
                return False
            self.started = time.monotonic()
            return True

    def end(self) -> bool:
        """Claim the right to decide the result; True for the first caller only."""
        with self._lock:
            first = not self._ended
            self._ended = True
            return first

    def end_unless_begun(self) -> bool:
        """Claim the right to decide the result, but only while the handler has not started."""
        with self._lock:
            first = not self._ended and self.started is None
            self._ended |= first
            return first

    def cancel(self) -> None:
        """Tell the handler that its result is not wanted any more."""
        self._cancelled = True

    def seconds(self) -> float:
        """Return how long the handler has run; 0 when it has not begun."""
        return 0.0 if self.started is None else max(1e-6, time.monotonic() - self.started)

    def task(self, traceparent: str | None = None) -> OrderTask:
        """Return what the handler is given, in this trace."""
        claim = self.claim
        return OrderTask(
            order_id=claim.order_id,
            user_id=claim.user_id,
            item_ids=claim.item_ids,
            total_amount=claim.total_amount,
            created_at=claim.created_at,
            attempt=claim.attempt,
            idempotency_token=_token(claim),
            cancelled=lambda: self._cancelled,
            traceparent=traceparent,
        )


def _token(claim: Claim) -> str:
    version = f"-{claim.key_version}" if claim.key_version else ""
    return f"order-{claim.order_id}{version}"


class InFlight:
    """The attempts whose end is not recorded yet, and whose leases are therefore renewed."""

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()
        self._changed = threading.Condition()

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Put attempts in."""
        with self._changed:
            self._attempts.update(attempts)

    def remove(self, attempts: Iterable[Attempt]) -> None:
        """Take attempts out."""
        with self._changed:
            self._attempts.difference_update(attempts)
            self._changed.notify_all()

    def all(self) -> list[Attempt]:
        """Return the attempts in the table now."""
        with self._changed:
            return list(self._attempts)

    def wait_empty(self, timeout: float) -> bool:
        """Wait until no attempt is left; False when that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._attempts, timeout)

    def __len__(self) -> int:
        return len(self._attempts)
