"""An even share of the connections for each worker process.

The workers share one listening socket, and a connection is whoever's accepts it first: of 32 that
come at once, one worker often gets nearly all, and serves them on one core while the others idle.
So each worker writes how many it has into memory that all share, and leaves a moment to those that
have fewer.
"""

from __future__ import annotations

import mmap
import sys
import time

# Workers, those of a reload that still end included.
SLOTS = 256
ABSENT = sys.maxsize
# Seconds. Others may be busy, or hang.
MOMENT = 0.001

_counts = memoryview(mmap.mmap(-1, 8 * SLOTS)).cast("q")
for _slot in range(SLOTS):
    _counts[_slot] = ABSENT


def tell(slot: int, count: int) -> None:
    """Note how many connections the worker has; `ABSENT` when it takes no more."""
    _counts[slot % SLOTS] = count


def await_turn(count: int) -> None:
    """Return at once to the worker that has the fewest connections, after a moment to others."""
    if count > min(_counts):
        time.sleep(MOMENT)
