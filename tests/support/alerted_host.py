"""A host that tells a receiver what is wrong with it, in time that passes as a test wants."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from order_service.alerts import alert, book

from tests.support.fake_host import Program
from tests.support.hook_receiver import Call, HookReceiver
from tests.support.host_facts import Facts
from tests.support.ports import HOST

MINUTE, DAY = 60, 86_400
# Longer than what comes and goes.
CALM = book.CALM_SECONDS + 1
TOKEN = "token-that-nobody-else-may-see"


class AlertClock:
    """Time for the alerts, which passes when a test says so."""

    def __init__(self) -> None:
        self.now = time.time()
        self.monotonic = time.monotonic

    def time(self) -> float:
        """Return the seconds since 1970."""
        return self.now


@dataclass
class Alerts:
    """A host that tells a receiver."""

    on: Facts
    receiver: HookReceiver
    program: Program
    clock: AlertClock

    def configure(self, **changed: Any) -> None:
        """Write the settings, as the role does."""
        url = f"http://{HOST}:{self.receiver.port}/{TOKEN}"
        given = {"host": "orders-1", "url": url, "heartbeat_url": f"{url}/beat"} | changed
        self.on.write("settings/alerts.json", **given)

    def run(self, after: float = 0, *arguments: str) -> list[Call]:
        """Let so many seconds pass, run the program, and return what the receiver got."""
        self.clock.now += after
        before = len(self.receiver.calls)
        self.program(alert.main, *arguments)
        return self.receiver.calls[before:]

    def told(self, after: float = 0, *arguments: str) -> list[str]:
        """The same; return the texts of the alerts, but no heartbeats."""
        calls = [call for call in self.run(after, *arguments) if call.line.startswith("POST")]
        return [json.loads(call.body)["text"] for call in calls]

    def fails(self, after: float = 0) -> str:
        """Run the program, which is to fail, and return what it says."""
        with pytest.raises(SystemExit) as ended:
            self.run(after)
        assert TOKEN not in str(ended.value)
        return str(ended.value)


def beats(calls: list[Call]) -> int:
    """Return how many heartbeats are among the calls."""
    return sum(call.line.startswith("GET") for call in calls)
