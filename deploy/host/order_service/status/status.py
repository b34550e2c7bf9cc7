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
from functools import wraps
from typing import Any

from order_service.dotenv import DATABASE, WEB, database_servers, has_part, keeps_backups
from order_service.status import backups, balancers, database, machine, processing, serving, trust
from order_service.status.line import Line

UNKNOWN = "unknown"
Reading = Callable[[], Iterator[Line]]


def where(is_here: Callable[[], bool], part: Callable[[], Iterator[Any]]) -> Callable[[], Any]:
    """Return the part; it tells nothing on a host that is not there for it."""

    @wraps(part)
    def part_of_host() -> Iterator[Any]:
        if is_here():
            yield from part()

    return part_of_host


def for_clients() -> bool:
    """Return whether clients come to this host."""
    return has_part(WEB)


def has_database() -> bool:
    """Return whether other hosts use the database on this one."""
    return has_part(DATABASE) and bool(database_servers())


# What is told, in this order. A line more belongs into one of these functions; alerts/rules.py has
# what is done about each part.
READINGS: tuple[Reading, ...] = (
    serving.release,
    serving.taken_back,
    serving.containers,
    where(for_clients, serving.closed),
    where(for_clients, serving.drained),
    where(for_clients, balancers.reached),
    where(for_clients, processing.processing),
    where(for_clients, trust.certificate),
    where(has_database, trust.mysql_certificate),
    trust.passwords,
    where(has_database, database.group),
    where(keeps_backups, backups.backups),
    where(keeps_backups, backups.copies),
    where(keeps_backups, backups.secrets),
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
