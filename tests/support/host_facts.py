"""What the host's programs look at to tell how the host is, each fact near its limit."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from order_service.certificates import authority
from order_service.database import members
from order_service.release import ledger as ledgers
from order_service.status import balancers, machine

from tests.support.fake_host import FakeHost
from tests.support.ports import HOST

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
        self._dotenv = (on.root / "stack/.env").read_text()
        self.good()
        monkeypatch.setattr(machine, "DISKS", (on.root,))

    def good(self) -> None:
        """Have all of it good."""
        (self.on.root / "stack/.env").write_text(self._dotenv)
        for name in ("maintenance.json", "drain"):
            (self.on.root / "upstream" / name).unlink(missing_ok=True)
        for name in ("mysql", "nginx"):
            self.on.docker.add(name)
        self.app()
        self.destination("none")
        self.job("backup", hours=25.9)
        self.job("binlog", hours=1.9)
        self.job("drill", days=39.9)
        self.certificate(15, of=365)
        self.disk(10)
        self.memory(5)
        self.failed_units("")
        self.processes()
        self.figures(oldest_due_order_age_seconds=299)
        self.on.behaviour = lambda *_: None
        ledger = ledgers.Ledger(active=None, releases=[])
        ledgers.write(ledgers.activate(ledger, "old", "", None, "me@here", back=False))
        for path in ("rotation.json", "samples.json"):
            (self.on.root / "state" / path).unlink(missing_ok=True)
        machine.REBOOT.unlink(missing_ok=True)
        shutil.rmtree(self.on.root / "failures", ignore_errors=True)

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
        self.deployed(**age)

    def destination(self, text: str, public_key: str = "none", offsite: str = "none") -> None:
        """Have backups that go there, or nowhere else, encrypted or not."""
        told = {"destination": text, "public_key": public_key, "offsite": offsite}
        self.write("settings/backup.json", directory=str(self.on.root / "store"), **told)

    def certificate(self, days: float, of: int, file: str = "tls.crt") -> None:
        """Have one that is valid for so many days more, of those that it was made for."""
        made = authority.make()
        pem, _ = made.issue(["orders.example"])
        leaf = x509.load_pem_x509_certificate(pem)
        end = datetime.now(UTC) + timedelta(days=days)
        builder = x509.CertificateBuilder(
            leaf.issuer,
            leaf.subject,
            leaf.public_key(),
            leaf.serial_number,
            end - timedelta(days=of),
            end,
        )
        other = builder.sign(made.key, hashes.SHA256())
        path = self.on.root / "certificates" / file
        path.write_bytes(other.public_bytes(Encoding.PEM))

    def processes(self, paused: str | None = None, away: str | None = None) -> None:
        """Have orders processed, or not since a time."""
        self.on.processing = {
            "paused": paused is not None,
            "paused_at": paused,
            "receiver": {"state": "away" if away else "ok", "since": away},
        }

    def figures(self, completed: int = 1000, failed: int = 10, **changed: float) -> None:
        """Have a service that tells these figures."""
        known = {"database_up": 1, "processors": 2, "oldest_due_order_age_seconds": 0} | changed
        lines = [f"order_service_{name} {float(value)}" for name, value in known.items()]
        lines += [
            f'order_service_orders{{status="{status}"}} {float(count)}'
            for status, count in (("Pending", 3), ("Completed", completed), ("Failed", failed))
        ]
        self.on.figures = lambda _: "\n".join(["# TYPE order_service_orders gauge", *lines, ""])

    def restart_needed(self, **age: float) -> None:
        """Have a host that has needed a restart for so long."""
        then = (datetime.now(UTC) - timedelta(**age)).timestamp()
        machine.REBOOT.touch()
        os.utime(machine.REBOOT, (then, then))

    def taken_back(self, release: str, **age: float) -> None:
        """Have a release that was taken back so long ago, and one that was deployed before."""
        self.deployed(days=30)
        moment = datetime.now(UTC) - timedelta(**age)
        (self.on.root / "failures" / f"{moment:%Y-%m-%dT%H%M%SZ}-{release}").mkdir(parents=True)

    def deployed(self, **age: float) -> None:
        """Have a host that was deployed so long ago."""
        ledger = ledgers.read()
        ledger["releases"][0]["deployed_at"] = stamp(**age)
        ledgers.write(ledger)

    def disk_was(self, *free: float, hours: float) -> None:
        """Have had so many GiB free of the disk in the last hours, evenly."""
        step = hours * 3600 / len(free)
        times = (time.time() - step * back for back in range(len(free), 0, -1))
        known = [[when, int(one * GIBIBYTE)] for when, one in zip(times, free, strict=True)]
        self.write("state/samples.json", disks={str(self.on.root): known}, orders=[])

    def orders_were(self, completed: int, failed: int, **age: float) -> None:
        """Have had so many orders."""
        then = (datetime.now(UTC) - timedelta(**age)).timestamp()
        self.write("state/samples.json", disks={}, orders=[[then, completed, failed]])

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

    def database_moved(self) -> None:
        """Have the database on another host since, and the container still here."""
        self.on.become("web", HEAD="db1")
        self.on.docker.add("mysql")

    def balancer(self, port: int) -> None:
        """Have one in front of this host, which is to listen on that port."""
        self._monkeypatch.setattr(balancers, "PORT", port)
        self.on.become("web", HEAD="db1", BALANCERS=HOST)

    def member(self, host: str, state: str, certificate_days: float = 15) -> None:
        """Have this database of three in a group, and one of them in that state; or not in it."""
        hosts = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
        servers = ",".join(f"{one}:3306" for one in hosts)
        here = {"HEAD": "db1", "DATABASE_SERVERS": servers, "PRIVATE_ADDRESS": hosts[0]}
        self.on.become("database", **here)
        states = dict.fromkeys(hosts, "ONLINE") | {host: state}
        told = [[hosts[0], "a group", "", "", "3"]]
        told += [
            [one, one, states[one], "SECONDARY" if place else "PRIMARY", "9.7.4"]
            for place, one in enumerate(hosts)
            if states[one]
        ]
        self._monkeypatch.setattr(members, "ask", lambda _, __: told)
        (self.on.root / "certificates" / "mysql").mkdir(exist_ok=True)
        self.certificate(certificate_days, of=365, file="mysql/server.pem")

    def remove(self, name: str) -> None:
        """Remove a file of the programs'."""
        (self.on.root / name).unlink()

    def remove_container(self, name: str) -> None:
        """Have no such container."""
        del self.on.docker.containers[f"order-service-{name}-1"]
