"""Who does the same on this host does it one after the other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from order_service.host import RUN


@contextmanager
def in_turn(what: str) -> Iterator[None]:
    """Wait until nobody else does this; what is done so has an end of its own.

    The kernel ends a turn with the process that has it.
    """
    with (RUN / f"order-service-{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
