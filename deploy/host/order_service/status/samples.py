"""How it was: figures of the last days, which `alert` writes down each minute.

`state/samples.json` is `{"disks": {path: [[time, free bytes], ...]}, "orders": [[time, completed,
failed], ...]}`, the oldest first, with times in seconds since 1970.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from order_service.host import STATE, read_json, write_json

PATH = STATE / "samples.json"
HOUR, DAY = 3600, 86_400
DISK_EVERY, DISK_KEPT, DISK_NEEDED = HOUR, 3 * DAY, DAY
ORDERS_KEPT = HOUR / 2

Sample = Sequence[float]


def take(free: Mapping[str, int], orders: tuple[float, float] | None) -> None:
    """Write down what is free on each disk, and how many orders are completed and failed.

    The orders are None while the service does not tell them.
    """
    now = time.time()
    known = read_json(PATH, {})
    disks = {
        path: _added(known.get("disks", {}).get(path, []), (now, bytes_), DISK_KEPT, DISK_EVERY)
        for path, bytes_ in free.items()
    }
    counted = known.get("orders", [])
    if orders is not None:
        counted = _added(counted, (now, *orders), ORDERS_KEPT)
    write_json(PATH, {"disks": disks, "orders": counted})


def _added(known: Sequence[Sample], new: Sample, kept: float, every: float = 0) -> Sequence[Sample]:
    """Return the samples without those that are too old, and with the new one if it is time."""
    now = new[0]
    # What is of the future was written before the clock was set back.
    recent = [one for one in known if now - kept <= one[0] <= now]
    return recent if recent and now - recent[-1][0] < every else [*recent, new]


def days_until_full(path: str) -> float | None:
    """Return in how many days the disk is full if it goes on as in the last ones.

    None where it does not fill up, or where there are samples of less than a day.
    """
    known = read_json(PATH, {}).get("disks", {}).get(path, [])
    if len(known) < 2 or known[-1][0] - known[0][0] < DISK_NEEDED:  # noqa: PLR2004 - a line has two
        return None
    slope, free = statistics.linear_regression(
        [when - known[-1][0] for when, _ in known], [free for _, free in known]
    )
    return max(free, 0) / -slope / DAY if slope < 0 else None


def ended_since(completed: float, failed: float) -> tuple[float, float] | None:
    """Return how many orders have ended, and how many of them failed, within half an hour.

    None where nobody has counted them.
    """
    known = read_json(PATH, {}).get("orders", [])
    recent = [one for one in known if one[0] >= time.time() - ORDERS_KEPT]
    if not recent:
        return None
    _, completed_before, failed_before = recent[0]
    # Retried orders are failed no longer.
    more = max(failed - failed_before, 0)
    return max(completed - completed_before, 0) + more, more
