"""Brings a release into service whose files and image are on this host: a deployment's own part.

What it is told comes on the standard input, as a JSON object; what is not in it stays as it is:

settings  the text of the file that Compose reads, .env
limits    what a rollout waits for: the content of rollout.json
clients   the API's clients: the content of clients.json
secrets   the operator's own: the variable of docker-compose.yml that names a secret's file, and
          the secret
handed    the secrets of the host that makes them, if it is another one: what it has exported

Of several hosts each does what it is there for, and only that one migrates and makes the clients.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from order_service import program
from order_service.database import bring as database
from order_service.dotenv import DATABASE, database_servers, has_part, head
from order_service.dotenv import PATH as DOTENV
from order_service.host import (
    SETTINGS,
    STACK,
    UPSTREAM,
    CommandError,
    say,
    write_json,
    write_text,
)
from order_service.release import colours, ledger, migrations, rollout, stack
from order_service.release.colours import Colour
from order_service.secrets import api_clients, credentials, database_check

FILES = {"limits": "rollout.json", "clients": "clients.json"}


def main() -> None:
    """Deploy; the last line begins with CHANGED or UNCHANGED."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("release", help="its files and its image are on this host")
    parser.add_argument("--digest", help="what the registry calls the image")
    parser.add_argument(
        "--allow-interruption", action="store_true", help="MySQL or nginx may be restarted"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be restarted")
    given = parser.parse_args()
    try:
        told: dict[str, Any] = {} if sys.stdin.isatty() else json.loads(sys.stdin.read() or "{}")
        say(deploy(given, told))
    except (CommandError, OSError, ValueError) as problem:
        sys.exit(f"FAILED: {problem}")


def deploy(given: argparse.Namespace, told: dict[str, Any]) -> str:
    """Take a deployment's steps; return a line that begins with CHANGED or UNCHANGED.

    Raises:
        CommandError: a step could not be taken; the release that served before does.
    """
    release = given.release
    changed = set()
    was_shared = bool(database_servers())
    with _settings(told.get("settings"), kept=not given.dry_run):
        _check_way_back(release, was_shared=was_shared)
        stack.plan(release, allowed=given.allow_interruption, dry_run=given.dry_run)
        if given.dry_run:
            return "UNCHANGED: this was a dry run"
        database_check.run(release, told.get("secrets", {}), told.get("handed"))
        database.check(told.get("handed"))
        if stack.place(release):
            changed.add("files")
    if program.install(release):
        changed.add("program")
    _write_down(told)
    say("making the secrets that are missing")
    changed |= credentials.make(release, told.get("secrets", {}), told.get("handed"))
    say(f"starting what outlives releases: {' and '.join(stack.services()) or 'nothing'}")
    changed |= set(stack.up(release))
    changed |= database.bring()
    if not head():
        if migrations.run(release):
            changed.add("schema")
        changed |= api_clients.apply(release)
    served = rollout.bring(rollout.Wanted(release, given.digest))
    changed |= stack.end_former_part()
    if changed:
        say(f"changed besides: {', '.join(sorted(changed))}")
    return served if served.startswith("CHANGED") or not changed else f"CHANGED; {served}"


def _check_way_back(release: str, *, was_shared: bool) -> None:
    """Refuse a release at once with another way to MySQL, which the former one would not know."""
    serves = ledger.read()["active"]
    if not (has_part(DATABASE) and colours.services() and serves and serves != release):
        return
    if bool(database_servers()) != was_shared:
        raise CommandError(
            f"the inventory changes how MySQL is reached, and {serves}, which serves, could not"
            f" take over from {release} again. Deploy {release} with the former inventory first,"
            " then with this one"
        )


@contextmanager
def _settings(text: str | None, *, kept: bool) -> Iterator[None]:
    """Have Compose's settings in place; take them back where the block fails, or if not kept."""
    former = DOTENV.read_text(encoding="utf-8") if DOTENV.exists() else None
    STACK.mkdir(parents=True, exist_ok=True)
    if text is not None:
        write_text(DOTENV, text)
    try:
        yield
    except BaseException:
        kept = False
        raise
    finally:
        if not kept and former is not None:
            write_text(DOTENV, former)
        elif not kept:
            DOTENV.unlink(missing_ok=True)


def _write_down(told: dict[str, Any]) -> None:
    """Keep what rollouts, rollbacks and changes of passwords go by from now on."""
    for name, file in FILES.items():
        if name in told:
            write_json(SETTINGS / file, told[name])
    if not UPSTREAM.exists():
        UPSTREAM.parent.mkdir(parents=True, exist_ok=True)
        write_text(UPSTREAM, colours.upstream_for(Colour("blue")))
