"""Closes the service to its clients for a while, and opens it again.

on     nginx answers 503 with `Retry-After` to all but /ping
off    the service answers again
show   print why it is closed, and since when

nginx looks for a file on each request, so both take effect at once and outlive a restart of nginx
and a release.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from order_service.host import UPSTREAM, CommandError, now, read_json, say, write_json

# Beside the upstream: the folder that nginx has mounted, and that no release replaces.
FILE = UPSTREAM.with_name("maintenance.json")


def main() -> None:
    """Do one of the three; on and off say CHANGED or UNCHANGED first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["on", "off", "show"])
    parser.add_argument("--reason", default="planned work", help="for the operators, with `on`")
    given = parser.parse_args()
    try:
        if given.action == "show":
            say(described() or "open")
        elif given.action == "on":
            _tell(on(given.reason))
        else:
            _tell(off())
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def on(reason: str, *, for_a_job: bool = False) -> bool:
    """Close the service; return whether that changes anything. A reason that is there stays.

    Who closes it by hand, though, takes it over from a job that would open it at its end.

    Raises:
        CommandError: the file is not what this program has written.
        OSError: the file cannot be written, and the service is as it was.
    """
    if is_on() and (for_a_job or not read_json(FILE, {}).get("for_a_job")):
        return False
    FILE.parent.mkdir(parents=True, exist_ok=True)
    write_json(FILE, {"reason": reason, "since": now(), "for_a_job": for_a_job})
    return True


def off() -> bool:
    """Open the service; return whether it was closed.

    Raises:
        OSError: the file cannot be removed, and the service is closed.
    """
    was_on = is_on()
    FILE.unlink(missing_ok=True)
    return was_on


def is_on(reason: str = "") -> bool:
    """Return whether clients are turned away, for that reason if one is given."""
    # The same test as nginx's.
    return FILE.is_file() and (not reason or read_json(FILE, {}).get("reason") == reason)


def described() -> str:
    """Return why the service is closed and since when; empty where it is open.

    Raises:
        CommandError: the file is not what this program has written.
    """
    if not is_on():
        return ""
    state = read_json(FILE, {})
    return f"closed since {state.get('since')}: {state.get('reason')}"


@contextmanager
def closed(reason: str) -> Iterator[None]:
    """Have the service closed meanwhile; one that is closed for another reason stays so."""
    on(reason, for_a_job=True)
    try:
        yield
    finally:
        if is_on(reason):  # nobody has closed it by hand meanwhile
            off()


def _tell(changed: bool) -> None:
    say(f"{'CHANGED' if changed else 'UNCHANGED'}: {described() or 'open'}")
