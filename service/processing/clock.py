"""The database's clock, watched for jumps by this process's own."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from service.storage.claims import LeaseRule

# Seconds by which the two clocks may drift apart between two looks.
TOLERANCE = 1.0


class DatabaseClock:
    """Says whether the ends of leases can be believed.

    Leases end by the database's clock. When that jumps forward, all seem to have ended, though
    their owners live. So after a jump, for as long as the longest lease, no lease counts as ended:
    who lives renews in that time.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._lock = threading.Lock()
        self._offset: float | None = None
        self._longest_lease = lease_seconds
        self._trusted_from = 0.0
        self.jumps = 0

    def observe(self, now: datetime, asked: float) -> None:
        """Note the database's time, which was asked for at `asked` by `time.monotonic`."""
        answered = time.monotonic()
        offset = now.replace(tzinfo=UTC).timestamp() - answered
        with self._lock:
            if self._offset is not None:
                jump = abs(offset - self._offset) - (answered - asked)
                if jump > TOLERANCE:
                    self.jumps += 1
                    self._trusted_from = answered + self._longest_lease
            self._offset = offset

    def note_longest_lease(self, seconds: float) -> None:
        """Note the longest lease of all processors, in seconds."""
        self._longest_lease = max(self._longest_lease, seconds)

    def rule(self) -> LeaseRule:
        """Return when leases count as ended now."""
        with self._lock:
            return LeaseRule(time.monotonic() >= self._trusted_from, self._longest_lease)
