"""Who does the same on this host does it one after the other."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from order_service.host import RUN, CommandError

SECONDS = 1800
EVERY_SECONDS = 0.2


class Busy(CommandError):
    """Another process had the lock for all the time that was waited."""


def in_turn(what: str) -> AbstractContextManager[None]:
    """Do this while nobody else does; see `held`."""
    return held(RUN / f"order-service-{what}.lock")


@contextmanager
def held(lock: Path, seconds: float = SECONDS) -> Iterator[None]:
    """Hold the lock; the kernel takes it from a process that ends.

    Raises:
        Busy: another process held it for all of these seconds.
    """
    deadline = time.monotonic() + seconds
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(
                        f"another process has held {lock} for {seconds:g} s; see who: sudo lslocks"
                    ) from None
                time.sleep(EVERY_SECONDS)
        yield
