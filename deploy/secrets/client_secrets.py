"""The secrets of the API's clients: each a file for the migrations' container, which tells the
database about it. Prometheus has one more, of its own.

A change is prepared beside what is in use, and put in its place as a second step: between the two
the database is told. Each step can be cut off anywhere, and run again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from files import MIGRATE, MONITORING, keep_or_make, read, say, write

PROMETHEUS = "prometheus"
# As the inventory's checks have it: it becomes a part of a file's name.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def name(text: str) -> str:
    """Return the text, if it is a client's name.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    if NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no client's name; expected 1 to 63 letters, digits, '.', '_' and '-'"
        )
    return text


def make(names: Iterable[str]) -> None:
    """Make the secrets of these clients that are missing, and hand Prometheus its own."""
    for one in (PROMETHEUS, *names):
        keep_or_make(_secret(one))
    if MONITORING.is_dir():
        write(MONITORING / "prometheus_password", read(_secret(PROMETHEUS)))


def prepare_change(client: str) -> None:
    """Make the client's next secret."""
    keep_or_make(_next(client))


def commit_change(client: str) -> None:
    """Put the next secret, which the database knows by now, in the place of the present one."""
    if _next(client).exists():
        _next(client).replace(_secret(client))
        say(f"changed {_secret(client).name}")


def forget(client: str) -> None:
    """Remove what there is of a client that was revoked."""
    for path in (_secret(client), _next(client)):
        path.unlink(missing_ok=True)


def _secret(client: str) -> Path:
    return MIGRATE / f"client_{client}"


def _next(client: str) -> Path:
    return MIGRATE / f"next_client_{client}"
