"""How pages write moments, durations and numbers."""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
# Seconds up to which a tenth of one matters.
PRECISE = 10
NOTHING = "\N{EN DASH}"


def moment(value: datetime | None) -> str:
    """Write a moment in UTC, to the second; a dash for None."""
    return NOTHING if value is None else value.strftime("%Y-%m-%d %H:%M:%S")


def number(value: int) -> str:
    """Write a count with separators; ids are never written like this."""
    return f"{value:,}"


def duration(seconds: float | None) -> str:
    """Write a duration in its two greatest units; a dash for None."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < PRECISE:
        return f"{seconds:.1f} s"
    return _whole(round(seconds))


def _whole(seconds: int) -> str:
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min {seconds % MINUTE} s"
    if seconds < DAY:
        return f"{seconds // HOUR} h {seconds % HOUR // MINUTE} min"
    return f"{seconds // DAY} d {seconds % DAY // HOUR} h"
