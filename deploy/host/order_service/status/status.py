"""Tells what runs on this host and how it is, without changing anything.

One line for each part; what needs somebody's attention begins with `!!`, and the program ends with
1 then. `--json` gives the same to programs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

from order_service.status import backups, machine, processing, serving, trust
from order_service.status.line import Line

UNKNOWN = "unknown"
Reading = Callable[[], Iterator[Line]]
# What is told, in this order. A line more belongs into one of these functions; alerts/rules.py has
# what is done about each part.
READINGS: tuple[Reading, ...] = (
    serving.release,
    serving.taken_back,
    serving.containers,
    serving.closed,
    processing.processing,
    trust.certificate,
    trust.passwords,
    backups.backups,
    backups.copies,
    backups.secrets,
    machine.host,
    serving.lock,
)


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
    return [line for reading in READINGS for line in read(reading)]


def read(reading: Reading) -> Iterator[Line]:
    """Give the reading's lines; that it cannot be read is one as well."""
    try:
        yield from reading()
    except Exception as problem:  # noqa: BLE001 - whatever it is, the other parts are told
        yield Line(
            reading.__name__, "cannot be told", good=False, subject=UNKNOWN, why=str(problem)
        )
