"""What is told about one part of the host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOURS_LONG = 72


@dataclass(frozen=True)
class Line:
    """What is told about one part.

    `subject` is which of several it is about: a disk, a container, a unit. `why` is what another
    program has said. It may hold anything, so that an alert leaves it out.
    """

    part: str
    text: str
    good: bool = True
    subject: str = ""
    why: str = ""

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"{'  ' if self.good else '!!'} {self.part:<12} {self.text}{why}"


def age(moment: str) -> timedelta:
    """Return how long ago a time was, in RFC 3339."""
    return datetime.now(UTC) - datetime.fromisoformat(moment)


def when(moment: str) -> str:
    """Return a time for people: RFC 3339 in, UTC out."""
    hours = age(moment) / timedelta(hours=1)
    ago = f"{hours:.0f} h" if hours < HOURS_LONG else f"{hours / 24:.0f} days"
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC ({ago} ago)"
