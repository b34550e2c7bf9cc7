"""The lock that keeps two deployments of one host apart, with its owner's name on it.

`state/lock.json`: token, owner, why, since, until (RFC 3339, UTC). It is freed by whoever holds the
token; past `until` it counts as forgotten, and the next one takes it.

A rollout or a restore that has begun goes on without the deployment that began it, and without its
lock. It ends by itself, so the next deployment waits for it.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from order_service.host import STATE, CommandError, now, read_json, say, under_way, write_json

PATH = STATE / "lock.json"
GUARD = STATE / "lock.flock"
EVERY_SECONDS = 1.0
# Longer than a rollout takes with the default settings; a restore of large data takes longer.
UNDER_WAY_SECONDS = 900


@dataclass(frozen=True)
class _Obstacle:
    """Why the lock cannot be had yet, and for how long it is waited for."""

    text: str
    seconds: float


def main() -> None:
    """Acquire or release; exit with 1 and the holder's name when the lock cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["acquire", "release"])
    parser.add_argument("--token", required=True, help="unique for each deployment")
    parser.add_argument("--owner", default="unknown")
    parser.add_argument("--why", default="")
    parser.add_argument("--minutes", type=float, default=60, help="after which it is forgotten")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for the holder")
    given = parser.parse_args()
    try:
        if given.action == "release":
            release(given.token)
        else:
            acquire(given)
    except CommandError as problem:
        sys.exit(str(problem))


def acquire(given: argparse.Namespace) -> None:
    """Take the lock, waiting for its holder as long as is allowed.

    Raises:
        CommandError: somebody else still holds it, or what was begun before is still under way.
    """
    begun, told = time.monotonic(), ""
    while (obstacle := _try(given)) is not None:
        if time.monotonic() - begun >= obstacle.seconds:
            raise CommandError(obstacle.text)
        if obstacle.text != told:
            told = obstacle.text
            say(f"waiting: {told}")
        time.sleep(EVERY_SECONDS)
    say(f"locked by {given.owner}")


def release(token: str) -> None:
    """Free the lock, if it is still that deployment's."""
    with _guarded():
        if read_json(PATH, {}).get("token") == token:
            PATH.unlink()
            say("unlocked")


def _try(given: argparse.Namespace) -> _Obstacle | None:
    """Take the lock and return None, or return what is in the way."""
    with _guarded():
        holder: dict[str, Any] = read_json(PATH, {})
        if holder and holder["token"] != given.token and holder["until"] > now():
            return _Obstacle(
                f"{holder['owner']} has been deploying here since {holder['since']}"
                f" ({holder['why']}). Wait for it to end; if it was cut off, its lock ends by"
                f" itself at {holder['until']}.",
                given.wait,
            )
        if (what := under_way()) is not None:
            return _Obstacle(
                f"{what} is still under way on this host. It ends by itself; try again then.",
                max(given.wait, UNDER_WAY_SECONDS),
            )
        until = datetime.now(UTC) + timedelta(minutes=given.minutes)
        write_json(
            PATH,
            {
                "token": given.token,
                "owner": given.owner,
                "why": given.why,
                "since": now(),
                "until": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )
        return None


@contextmanager
def _guarded() -> Iterator[None]:
    """Look and take in one step."""
    with GUARD.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
