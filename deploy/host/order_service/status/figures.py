"""Writes the host's figures where a node exporter reads them: the order-service-figures timer runs
it. What cannot be read is left out, and is one of the parts that are not good."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from order_service.certificates import renew as renew_certificate
from order_service.dotenv import keeps_backups
from order_service.host import SETTINGS, CommandError, read_json, write_text
from order_service.release import ledger as ledgers
from order_service.status import machine, status

FILE = "order-service.prom"
JOBS = ("backup", "binlog", "drill")


@dataclass(frozen=True)
class Figure:
    """One value; `name` is without the prefix that all have."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    """Write the file as a whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the node exporter's folder for text files")
    given = parser.parse_args()
    write_text(given.folder / FILE, page(figures()))


def figures() -> list[Figure]:
    """Return what can be told now."""
    return [figure for part in PARTS for figure in _told(part)]


def page(told: Iterable[Figure]) -> str:
    """Return the figures in Prometheus' text format."""
    lines = []
    described = set()
    for figure in told:
        name = f"order_service_{figure.name}"
        if name not in described:
            described.add(name)
            lines += [f"# HELP {name} {figure.help}", f"# TYPE {name} gauge"]
        labels = "".join(f'{{{key}="{value}"}}' for key, value in figure.labels.items())
        lines.append(f"{name}{labels} {float(figure.value)!r}")
    return "".join(f"{line}\n" for line in lines)


def _told(part: Callable[[], Iterator[Figure]]) -> Iterator[Figure]:
    try:
        yield from part()
    except (CommandError, OSError, KeyError, ValueError):
        return  # `status` says why, and so the part is not good


def _good() -> Iterator[Figure]:
    parts: dict[str, bool] = {}
    for line in status.told():
        part = line.part.strip().replace(" ", "_")
        parts[part] = parts.get(part, True) and line.good
    for part, good in parts.items():
        text = "0 when something is wrong with this part of the host: status.yml says what."
        yield Figure("host_good", text, good, {"part": part})


def _backups() -> Iterator[Figure]:
    first = min(entry["deployed_at"] for entry in ledgers.read()["releases"])
    yield Figure(
        "first_deployment_timestamp_seconds",
        "When the oldest release that is known was deployed.",
        _seconds(first),
    )
    folder = Path(read_json(SETTINGS / "backup.json", {})["directory"])
    for job in JOBS:
        yield Figure(
            f"{job}_last_success_timestamp_seconds",
            f"When the last {job} went well; 0 when none has.",
            _last_success(read_json(folder / f"last-{job}.json", {})),
        )


def _last_success(state: dict[str, Any]) -> float:
    moment = state.get("finished_at" if state.get("outcome") == "ok" else "last_ok_at")
    return _seconds(moment) if moment else 0


def _certificate() -> Iterator[Figure]:
    certificate = renew_certificate.installed()
    yield Figure(
        "certificate_not_before_timestamp_seconds",
        "From when nginx's certificate is valid.",
        renew_certificate.start_of(certificate).timestamp(),
    )
    yield Figure(
        "certificate_not_after_timestamp_seconds",
        "Until when nginx's certificate is valid.",
        renew_certificate.end_of(certificate).timestamp(),
    )


def _disks() -> Iterator[Figure]:
    disks = {str(path): shutil.disk_usage(path) for path in machine.disks()}
    for path, disk in disks.items():
        yield Figure("disk_free_bytes", "What is free on the disk.", disk.free, {"path": path})
    for path, disk in disks.items():
        yield Figure("disk_size_bytes", "The size of the disk.", disk.total, {"path": path})


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


PARTS = (
    _good,
    status.where(keeps_backups, _backups),
    status.where(status.for_clients, _certificate),
    _disks,
)
