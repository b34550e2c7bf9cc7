"""What two runs must not do at the same time, each under a lock of its own.

dump       a full backup is made, and the retention is applied
binlogs    binary logs are copied
upload     full backups are sent off the host
send       binary logs are sent off the host
scratch    the scratch server is used, and the store is read for it

So copies of the binary logs wait for nothing else. The locks lie in the store, which is root's
alone, and end with their processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from order_service import turns
from order_service.backup.settings import BackupError

SECONDS = 1800


class Busy(BackupError):
    """Another run has the lock, and had it for all the time that was waited."""


@contextmanager
def locked(folder: Path, what: str, seconds: float = SECONDS) -> Iterator[None]:
    """Be the only one that does this.

    Args:
        folder: the store's.
        what: one of the above.
        seconds: how long to wait for another one.

    Raises:
        Busy: another one did it for all the time.
    """
    with ExitStack() as held:
        try:
            held.enter_context(turns.held(folder / f".lock-{what}", seconds))
        except turns.Busy:
            raise Busy(
                f"another backup or restore has held the lock {what!r} for {seconds:g} s;"
                " see `systemctl list-units 'order-service-*'`"
            ) from None
        yield
