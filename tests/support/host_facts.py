"""What the host's programs look at to tell how the host is, each fact near its limit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import authority
import pytest
from order_service.release import ledger as ledgers
from order_service.status import machine

from tests.support.fake_host import FakeHost

GIBIBYTE = 1024**3


def stamp(**age: float) -> str:
    """Return the time so long ago, as the programs write it."""
    return f"{datetime.now(UTC) - timedelta(**age):%Y-%m-%dT%H:%M:%SZ}"


class Facts:
    """What `status` looks at; all of it is good, and as near to its limit as may be."""

    def __init__(self, on: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = on
        self._monkeypatch = monkeypatch
        (on.root / "store").mkdir()
        self.write("settings/backup.json", directory=str(on.root / "store"))
        self.job("backup", hours=25.9)
        self.job("binlog", days=50)
        self.job("drill", days=39.9)
        self.certificate(15)
        self.disk(10)
        self.memory(5)
        self.failed_units("")
        monkeypatch.setattr(machine, "DISKS", (on.root,))

    def write(self, name: str, **values: Any) -> None:
        """Write a file of the programs'."""
        (self.on.root / name).write_text(json.dumps(values))

    def job(self, name: str, outcome: str = "ok", **age: float) -> None:
        """Have a backup, a copy or a drill that ended so long ago."""
        ended = {"outcome": outcome, "finished_at": stamp(**age), "seconds": 3.2}
        self.write(f"store/last-{name}.json", **ended, error="no space", last_ok_at=stamp(days=50))

    def none_so_far(self, name: str, **age: float) -> None:
        """Have none, on a host that was deployed so long ago."""
        self.remove(f"store/last-{name}.json")
        ledger = ledgers.read()
        ledger["releases"][0]["deployed_at"] = stamp(**age)
        ledgers.write(ledger)

    def certificate(self, days: int) -> None:
        """Have one that is valid for so many days but an hour."""
        leaf, _ = authority.make().issue(["orders.example"], days)
        (self.on.root / "certificates" / "tls.crt").write_bytes(leaf)

    def disk(self, percent: float) -> None:
        """Have so much of the disk free."""
        usage = SimpleNamespace(total=100 * GIBIBYTE, free=percent * GIBIBYTE)
        self._monkeypatch.setattr("order_service.status.machine.shutil.disk_usage", lambda _: usage)

    def memory(self, percent: float) -> None:
        """Have so much of the memory available."""
        path = self.on.root / "meminfo"
        path.write_text(f"MemTotal: 2000000 kB\nMemAvailable: {20000 * percent:.0f} kB\n")
        self._monkeypatch.setattr(machine, "MEMORY", path)

    def failed_units(self, names: str) -> None:
        """Have these units of systemd failed; nobody deploys."""
        self.systemctl("inactive", "", failed=names)

    def systemctl(self, state: str, what: str, failed: str = "") -> None:
        """Have the unit of deployments in this state, since the first of November."""
        shown = f"ActiveState={state}\nDescription={what}\nInactiveExitTimestamp=@1793491200\n"
        self.on.docker.programs["systemctl"] = lambda given: shown if given[0] == "show" else failed

    def app(self, **fields: Any) -> None:
        """Change the container of the service."""
        self.on.docker.add("blue-app", **{"release": "old", **fields})

    def not_ready(self) -> None:
        """Have a service that is not ready."""
        self.on.behaviour = lambda _, __, request: 503 if request == "GET /readyz" else None

    def remove(self, name: str) -> None:
        """Remove a file of the programs'."""
        (self.on.root / name).unlink()

    def remove_container(self, name: str) -> None:
        """Have no such container."""
        del self.on.docker.containers[f"order-service-{name}-1"]
