"""Tells what runs on this host and how it is, without changing anything.

One line for each part; what needs somebody's attention begins with `!!`, and the program ends with
1 then. `--json` gives the same to programs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from order_service.certificates import renew as renew_certificate
from order_service.host import SETTINGS, STATE, CommandError, now, read_json, run, under_way
from order_service.release import colours
from order_service.release import ledger as ledgers
from order_service.secrets import secret_files

CERTIFICATE_DAYS = 14
# Of the disk; below it, backups and images are at stake.
FREE_DISK = 0.1
FREE_MEMORY = 0.05
# A day, and time for the backup itself.
BACKUP_AGE = timedelta(hours=26)
# A month, and a run that was missed.
DRILL_AGE = timedelta(days=40)
HTTP_OK = 200
MEBIBYTE, GIBIBYTE = 1024**2, 1024**3
HOURS_LONG = 72
MEMORY = Path("/proc/meminfo")
DISKS = (Path("/var/lib/docker"), Path("/"))
# What packages write that take effect at the next start only.
REBOOT, REBOOT_FOR = Path("/run/reboot-required"), Path("/run/reboot-required.pkgs")
UNITS = ("order-service-*", "docker.service", "nftables.service")


@dataclass(frozen=True)
class Line:
    """What is told about one part."""

    part: str
    text: str
    good: bool = True

    def __str__(self) -> str:
        return f"{'  ' if self.good else '!!'} {self.part:<12} {self.text}"


def main() -> None:
    """Tell; exit with 1 when something needs attention."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args()
    lines = told()
    if given.json:
        sys.stdout.write(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(0 if all(line.good for line in lines) else 1)


def told() -> list[Line]:
    """Return what is told about all parts."""
    return [line for part in PARTS for line in _told(part)]


def disks() -> list[Path]:
    """Return a place on each file system that matters."""
    return list({path.stat().st_dev: path for path in DISKS}.values())


def _told(part: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """Give the part's lines; that it cannot be read is one as well."""
    try:
        yield from part()
    except (CommandError, OSError, KeyError, ValueError) as problem:
        yield Line(part.__name__.strip("_"), f"cannot be told: {problem}", good=False)


def _release() -> Iterator[Line]:
    ledger = ledgers.read()
    active = ledgers.find(ledger, ledger["active"])
    if active is None:
        yield Line("release", "none is deployed; run deploy.yml", good=False)
        return
    colour = colours.serving()
    runs = colour.release()
    yield Line(
        "release",
        f"{active['release']} in {colour.name}, deployed {_when(active['deployed_at'])}"
        f" by {active['deployed_by']}"
        + ("" if runs == active["release"] else f"; but {runs} runs there"),
        good=runs == active["release"],
    )
    for entry in reversed(ledger["releases"][:-1]):
        rollback = ", rollback.yml's" if entry["release"] == ledgers.previous(ledger) else ""
        yield Line("  before", f"{entry['release']}, {_when(entry['deployed_at'])}{rollback}")
    status, answer = colour.readiness()
    text = "ready" if status == HTTP_OK else f"/readyz answers {status}: {json.dumps(answer)}"
    yield Line("readiness", text, good=status == HTTP_OK)


def _containers() -> Iterator[Line]:
    form = "{{.Names}}\t{{.State}}\t{{.Status}}"
    listed = run(["docker", "ps", "--all", "--format", form, "--filter", "name=^order-service-"])
    for line in sorted(listed.splitlines()):
        name, state, text = line.split("\t")
        good = state == "running" and "unhealthy" not in text
        yield Line("container", f"{name.removeprefix('order-service-')}: {text}", good=good)
    for name in ("mysql", "nginx"):
        if f"order-service-{name}-1\t" not in listed:
            yield Line("container", f"{name}-1 is missing; run deploy.yml", good=False)


def _certificate() -> Iterator[Line]:
    end = renew_certificate.end_of(renew_certificate.installed())
    left = end - datetime.now(UTC)
    good = left > timedelta(days=CERTIFICATE_DAYS)
    yield Line("certificate", f"valid until {end:%Y-%m-%d %H:%M}, {left.days} days", good=good)


def _passwords() -> Iterator[Line]:
    changed = f"the API's since {secret_files.changed_at('auth_password'):%Y-%m-%d %H:%M}"
    if secret_files.text("auth_password_previous"):
        changed += "; the one before is still accepted (credentials.yml -e retire=api)"
    yield Line("passwords", changed)
    if pending := read_json(STATE / "rotation.json", None):
        yield Line(
            "passwords", f"a change by {pending['by']} was cut off; run it again", good=False
        )


def _backups() -> Iterator[Line]:
    settings = read_json(SETTINGS / "backup.json", None)
    if settings is None:
        yield Line("backup", "not set up; run deploy.yml", good=False)
        return
    folder = Path(settings["directory"])
    for part, file, allowed in (
        ("backup", "last-backup.json", BACKUP_AGE),
        ("binary logs", "last-binlog.json", None),
        ("drill", "last-drill.json", DRILL_AGE),
    ):
        yield _outcome(part, read_json(folder / file, {}), allowed)


def _outcome(part: str, state: dict[str, Any], allowed: timedelta | None) -> Line:
    """Tell how a job's last run ended, and whether it is late."""
    if not state:
        oldest = min((entry["deployed_at"] for entry in ledgers.read()["releases"]), default=now())
        late = allowed is not None and _age(oldest) > allowed
        return Line(part, "none so far" + (", and it is late" if late else ""), good=not late)
    if state["outcome"] != "ok":
        last = _when(state["last_ok_at"]) if state.get("last_ok_at") else "never"
        text = f"failed {_when(state['finished_at'])}: {state.get('error')}; went well {last}"
        return Line(part, text, good=False)
    text = f"went well {_when(state['finished_at'])}, in {state['seconds']:.0f} s"
    if state.get("bytes"):
        text += f", {state['bytes'] / MEBIBYTE:.1f} MiB"
    if state.get("offsite", "none") != "none":
        text += f", copied to {state['offsite']}"
    late = allowed is not None and _age(state["finished_at"]) > allowed
    return Line(part, text + (" and is late" if late else ""), good=not late)


def _host() -> Iterator[Line]:
    for path in disks():
        disk = shutil.disk_usage(path)
        share = disk.free / disk.total
        text = f"{disk.free / GIBIBYTE:.1f} of {disk.total / GIBIBYTE:.1f} GiB free at {path}"
        yield Line("disk", text, good=share >= FREE_DISK)
    fields = (line.split() for line in MEMORY.read_text(encoding="ascii").splitlines())
    kibibytes = {name.rstrip(":"): int(value) for name, value, *_ in fields}
    free, total = kibibytes["MemAvailable"], kibibytes["MemTotal"]
    text = f"{free / 1024:.0f} of {total / 1024:.0f} MiB available"
    yield Line("memory", text, good=free / total >= FREE_MEMORY)
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    yield Line("load", f"{load} on {os.cpu_count()} processors")
    if REBOOT.exists():
        told = REBOOT_FOR.read_text(encoding="utf-8") if REBOOT_FOR.exists() else "the system"
        packages = " ".join(dict.fromkeys(told.splitlines()))
        yield Line("restart", f"needed after updates of {packages}; see automatic_reboot_time")
    failed = run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", *UNITS])
    for line in failed.splitlines():
        unit = line.split()[0]
        yield Line("unit", f"{unit} has failed: journalctl -u {unit}", good=False)


def _lock() -> Iterator[Line]:
    holder = read_json(STATE / "lock.json", None)
    if holder is not None and holder["until"] > now():
        yield Line("lock", f"{holder['owner']} since {_when(holder['since'])}: {holder['why']}")
    elif what := under_way():
        yield Line("lock", f"{what} is under way; no deployment waits for it")
    else:
        yield Line("lock", "nobody deploys")


def _age(moment: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(moment)


def _when(moment: str) -> str:
    """Return a time for people: RFC 3339 in, UTC out."""
    hours = _age(moment) / timedelta(hours=1)
    ago = f"{hours:.0f} h" if hours < HOURS_LONG else f"{hours / 24:.0f} days"
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC ({ago} ago)"


PARTS = (_release, _containers, _certificate, _passwords, _backups, _host, _lock)
