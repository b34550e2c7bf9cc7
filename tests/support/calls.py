"""The calls that `tests.support.order_handlers:noted` has noted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOTED = "tests.support.order_handlers:noted"


@dataclass(frozen=True)
class Call:
    """One line: a process started or ended an attempt at an order."""

    pid: int
    what: str
    order_id: int
    attempt: int
    token: str


class Calls:
    """The file of the calls, and the environment that makes the handler write it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "calls"
        self.environment = {
            "ORDER_HANDLER": NOTED,
            "CALLS_FILE": str(self.path),
        }

    def all(self, what: str = "start") -> list[Call]:
        """Return the calls noted so far, oldest first."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        fields = [line.split() for line in lines]
        calls = [Call(int(f[0]), f[1], int(f[2]), int(f[3]), f[4]) for f in fields]
        return [call for call in calls if call.what == what]

    def attempts_at(self, order_id: int) -> list[int]:
        """Return the numbers of the attempts that were started at the order."""
        return [call.attempt for call in self.all() if call.order_id == order_id]
