"""Tells somebody when this host needs attention, once, and again when that is over.

The order-service-alert timer runs it each minute, and systemd when one of our units fails. It looks
at what `status` looks at, and tells `alert_url`; what lasts is told again each day. While all is
well it calls `heartbeat_url`, so that silence is an alarm, too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import suppress

from order_service.alerts import book as books
from order_service.alerts import sending
from order_service.alerts.bounded import at_most
from order_service.alerts.rules import WARNING
from order_service.alerts.settings import Settings, load
from order_service.host import STATE, CommandError, say
from order_service.status import machine, processing, samples, status
from order_service.status.line import Line
from order_service.turns import held

LOCK = STATE / "alerts.lock"
# Below the unit's time, TimeoutStartSec.
LOCK_SECONDS = 240
# For each part of `status`.
READING_SECONDS = 15
# A receiver that refuses all of many alerts is not asked for longer in one run.
BUDGET_SECONDS = 45


def main() -> None:
    """Look and tell; exit with 1 when somebody could not be told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", action="store_true", help="send a test alert, and its end")
    given = parser.parse_args()
    try:
        settings = load()
        if given.test:
            _test(settings)
        else:
            STATE.mkdir(parents=True, exist_ok=True)
            # By hand beside the timer: the second one waits, and finds all told.
            with held(LOCK, LOCK_SECONDS):
                _run(settings)
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def _run(settings: Settings) -> None:
    with suppress(CommandError, OSError):  # `status` has a line for what is wrong then
        _sample()
    readings = {one.__name__: _read(one) for one in status.READINGS}
    book, now = books.read(), time.time()
    books.look(book, readings, now)
    books.write(book)
    problems = _tell(settings, book, now)
    if settings.heartbeat_url and not books.lasts(book):
        try:
            sending.heartbeat(settings)
        except CommandError as problem:
            problems.append(str(problem))
    if problems:
        raise CommandError("; ".join(dict.fromkeys(problems)))


def _sample() -> None:
    free = {str(path): shutil.disk_usage(path).free for path in machine.disks()}
    with at_most(READING_SECONDS):
        orders = processing.ended()
    samples.take(free, orders)


def _read(reading: status.Reading) -> list[Line]:
    """Return the lines; a Docker that hangs must not keep somebody from being told."""
    with at_most(READING_SECONDS):
        return list(status.read(reading))


def _tell(settings: Settings, book: books.Book, now: float) -> list[str]:
    """Tell what is to be told, and note that; return what went wrong. The rest waits for a run."""
    problems: dict[str, str] = {}
    deadline = time.monotonic() + BUDGET_SECONDS
    for key, entry, over in list(books.to_tell(book, now)):
        if time.monotonic() > deadline:
            break
        if key in problems:
            continue  # nobody is told the end of what they have not heard of
        if not settings.url:
            if over:  # a trouble that lasts is told once there is an address
                books.told(book, key, now, over=True)
                books.write(book)
            continue
        try:
            sending.alert(settings, key, entry, over=over)
        except CommandError as problem:
            problems[key] = str(problem)
            continue
        books.told(book, key, now, over=over)
        books.write(book)
        say(f"told: {entry['name']} ({key}){' is over' if over else ''}")
    return [*problems.values()]


def _test(settings: Settings) -> None:
    """Send a test alert and its end, and a heartbeat, to what is set."""
    now = time.time()
    if settings.url:
        entry = books.Entry(
            since=now, seen=now, told=None, over=None, reading="", minutes=0,
            name="OrderServiceTest", severity=WARNING, text="test: somebody tries the alerts",
            advice="Nothing is to be done.", guide="Alerts",
        )  # fmt: skip
        for over in (False, True):
            sending.alert(settings, "test", entry, over=over)
        say("alert_url has taken a test alert and its end")
    if settings.heartbeat_url:
        sending.heartbeat(settings)
        say("heartbeat_url has taken a heartbeat")
