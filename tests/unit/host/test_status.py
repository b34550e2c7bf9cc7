"""What status.py finds worth attention: each limit from both sides, one cause at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import authority
import ledger as ledgers
import pytest
import status
from host import alone

from tests.support.fake_host import FakeHost, Program

GIBIBYTE = 1024**3
PENDING = {"next": "", "since": "2026-11-22T10:15:00Z", "by": "ann@laptop"}
Told = list[dict[str, Any]]


def stamp(**age: float) -> str:
    """Return the time so long ago, as the programs write it."""
    return f"{datetime.now(UTC) - timedelta(**age):%Y-%m-%dT%H:%M:%SZ}"


class Facts:
    """What status.py looks at; all of it is good, and as near to its limit as may be."""

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
        monkeypatch.setattr(status, "DISKS", (on.root,))

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
        self._monkeypatch.setattr("status.shutil.disk_usage", lambda _: usage)

    def memory(self, percent: float) -> None:
        """Have so much of the memory available."""
        path = self.on.root / "meminfo"
        path.write_text(f"MemTotal: 2000000 kB\nMemAvailable: {20000 * percent:.0f} kB\n")
        self._monkeypatch.setattr(status, "MEMORY", path)

    def failed_units(self, names: str) -> None:
        """Have these units of systemd failed."""
        self.on.docker.programs["systemctl"] = lambda _: names

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


@pytest.fixture
def facts(on: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """A host that is as good as it must be, and no better."""
    return Facts(on, monkeypatch)


@pytest.fixture
def tell(program: Program, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, Told]]:
    """Run the program; return how it ended, and its lines."""

    def run() -> tuple[int, Told]:
        with pytest.raises(SystemExit) as ended:
            program(status.main, "--json")
        assert isinstance(ended.value.code, int)
        told: Told = json.loads(capsys.readouterr().out)
        return ended.value.code, told

    return run


@pytest.mark.usefixtures("facts")
def test_what_is_within_all_limits_is_good(tell: Callable[[], tuple[int, Told]]) -> None:
    code, told = tell()
    assert [line for line in told if not line["good"]] == []
    assert code == 0
    parts = {"release", "readiness", "container", "certificate", "passwords", "backup",
             "binary logs", "drill", "disk", "memory", "load", "lock"}  # fmt: skip
    assert {line["part"] for line in told} == parts


CAUSES: dict[str, tuple[Callable[[Facts], object], str, str]] = {
    "certificate": (lambda on: on.certificate(14), "certificate", "13 days"),
    "late backup": (lambda on: on.job("backup", hours=26.1), "backup", "is late"),
    "late drill": (lambda on: on.job("drill", days=40.1), "drill", "is late"),
    "failed backup": (lambda on: on.job("backup", "failed", hours=1), "backup", "no space; went"),
    "failed copy": (lambda on: on.job("binlog", "failed", hours=1), "binary logs", "no space"),
    "no backup": (lambda on: on.none_so_far("backup", hours=26.1), "backup", "none .* it is late"),
    "no drill": (lambda on: on.none_so_far("drill", days=40.1), "drill", "none .* it is late"),
    "no settings": (lambda on: on.remove("settings/backup.json"), "backup", "not set up"),
    "disk": (lambda on: on.disk(9.9), "disk", r"9\.9 of 100\.0 GiB free"),
    "memory": (lambda on: on.memory(4.9), "memory", "96 of 1953 MiB available"),
    "unit": (lambda on: on.failed_units("docker.service loaded"), "unit", "docker.service has"),
    "cut off": (lambda on: on.write("state/rotation.json", **PENDING), "passwords", "run it again"),
    "another release": (lambda on: on.app(release="new"), "release", "but new runs there"),
    "not ready": (lambda on: on.not_ready(), "readiness", "/readyz answers 503"),
    "unhealthy": (lambda on: on.app(status="Up (unhealthy)"), "container", "blue-app-1: Up .unh"),
    "ended": (lambda on: on.app(running=False, status="Exited"), "container", "blue-app-1: Exited"),
    "no container": (lambda on: on.remove_container("mysql"), "container", "mysql-1 is missing"),
    "no certificate": (
        lambda on: on.remove("certificates/tls.crt"),
        "certificate",
        "cannot be told",
    ),
    "no release": (lambda on: on.remove("state/ledger.json"), "release", "none is deployed"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_what_needs_attention_is_told_and_nothing_else(
    facts: Facts, tell: Callable[[], tuple[int, Told]], cause: str
) -> None:
    make, part, text = CAUSES[cause]
    make(facts)
    code, told = tell()
    (bad,) = [line for line in told if not line["good"]]
    assert bad["part"] == part
    assert re.search(text, bad["text"])
    assert code == 1


@pytest.mark.parametrize(("job", "age"), [("backup", {"hours": 25.9}), ("drill", {"days": 39.9})])
def test_a_new_host_may_have_none_so_far(
    facts: Facts, tell: Callable[[], tuple[int, Told]], job: str, age: dict[str, float]
) -> None:
    facts.none_so_far(job, **age)
    code, told = tell()
    assert {line["text"] for line in told if line["part"] == job} == {"none so far"}
    assert code == 0


def test_who_deploys_is_told_while_the_lock_holds(
    facts: Facts, tell: Callable[[], tuple[int, Told]]
) -> None:
    held = {"owner": "ann@laptop", "why": "deploy new", "since": stamp(minutes=5)}
    for until, expected in ((stamp(minutes=-5), "ann@laptop since .*: deploy new"),
                            (stamp(minutes=1), "nobody deploys")):  # fmt: skip
        facts.write("state/lock.json", **held, until=until)
        (line,) = [line for line in tell()[1] if line["part"] == "lock"]
        assert re.match(expected, line["text"])
    with alone("the rollout of new, by ann@laptop"):
        (line,) = [line for line in tell()[1] if line["part"] == "lock"]
    assert line["text"].startswith("the rollout of new, by ann@laptop, since ")


def test_people_get_a_line_for_each_part_and_see_what_is_wrong(
    facts: Facts, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    facts.disk(1)
    with pytest.raises(SystemExit):
        program(status.main)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("!!")] == [
        f"!! disk         1.0 of 100.0 GiB free at {facts.on.root}"
    ]
    assert any(
        re.match(r"   release      old in blue, deployed .* by me@here$", one) for one in lines
    )
