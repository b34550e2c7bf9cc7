"""Makes, shows and changes the passwords of this host, without a request that is refused.

Secrets of the operator's own come on the standard input, as a JSON object: the variable of
docker-compose.yml that names a secret's file, and the secret.

Of several hosts one, the head, makes and changes them: `export` prints what another host needs as
JSON, and that one is to `take` it from its standard input. There `rotate --begin` leaves the end
of the former passwords to `rotate --finish`, once all others have taken the new ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from order_service.dotenv import DATABASE, database_servers, dotenv, has_part, head
from order_service.host import AUTHORITY, CommandError, read_json, say
from order_service.release import ledger
from order_service.secrets import api_clients, database_accounts, handed, rotation, secret_files
from order_service.secrets.rotation import PASSWORD, PENDING, PREVIOUS, Rotation

DAY = 24 * 3600
# By what they sign: calls of the order handler, and events.
SIGNING = {"Webhook secret": "webhook_secret", "Events secret": "events_secret"}


def main() -> None:
    """Do one thing; the last line of a change begins with CHANGED or UNCHANGED."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(required=True)
    make = actions.add_parser("make", help="make what is missing")
    make.add_argument("release", help="whose image makes it")
    make.set_defaults(run=_make)
    rotate = actions.add_parser("rotate", help="change passwords")
    rotate.add_argument("what", choices=["api", "database", "all", "client"])
    rotate.add_argument("--client", help="the name of that client")
    rotate.add_argument(
        "--overlap", type=int, default=DAY, help="for how many seconds its former secret is right"
    )
    part = rotate.add_mutually_exclusive_group()
    part.add_argument("--begin", action="store_true", help="all but the end of the former ones")
    part.add_argument("--finish", action="store_true", help="that end, of what was begun")
    rotate.set_defaults(run=_rotate)
    retire = actions.add_parser("retire", help="end the API's former password")
    retire.set_defaults(run=_retire)
    show = actions.add_parser("show", help="tell what there is and where it lies")
    show.add_argument("--password", action="store_true", help="the secrets themselves, too")
    show.set_defaults(run=_show)
    export = actions.add_parser("export", help="print what another host needs, as JSON")
    export.add_argument(
        "--for", dest="parts", type=_parts, required=True, help="what it is there for: web,worker"
    )
    export.set_defaults(run=_export)
    take = actions.add_parser("take", help="take what another host has exported")
    take.set_defaults(run=_take)
    given = parser.parse_args()
    try:
        given.run(given)
    except (CommandError, OSError, ValueError) as problem:
        sys.exit(f"FAILED: {problem}")


def _make(given: argparse.Namespace) -> None:
    _conclude(make(given.release, _own_secrets()))


def make(release: str, own: Mapping[str, str], from_head: Any = None) -> set[str]:
    """Make the secrets that are missing, take the operator's own, and have MySQL know them.

    A host that has a head makes none: it takes what that one has handed on.

    Args:
        release: whose image makes them.
        own: by the variables of docker-compose.yml that name their files; empty ones are none.
        from_head: what `credentials export` printed there.

    Raises:
        CommandError: they could not be made, or MySQL refuses one.
    """
    if head():
        return _take_over(release, from_head or {})
    brought = {name: secret for name, secret in own.items() if secret}
    changed = secret_files.make(release, "--overlap", own=brought | _authority())
    # Of a database that hosts share, the accounts are made once it is at work: database/bring.py.
    if has_part(DATABASE) and not database_servers() and database_accounts.is_running():
        database_accounts.wait()
        database_accounts.apply()
    return changed


def _take_over(release: str, from_head: Any) -> set[str]:
    changed = handed.take(release, from_head)
    if has_part(DATABASE) and database_accounts.is_running():
        database_accounts.wait()
        database_accounts.tell_member()
    return changed


def _authority() -> dict[str, str]:
    """Return what clients verify MySQL with, where they are on other hosts."""
    if not (database_servers() and has_part(DATABASE)):
        return {}
    path = AUTHORITY / "ca.crt"
    if not path.exists():
        raise CommandError(f"there is no {path}, which is made before; run deploy.yml without tags")
    return {"DATABASE_CA_FILE": path.read_text(encoding="utf-8")}


def _rotate(given: argparse.Namespace) -> None:
    release = _active_release()
    _refuse_without_head()
    if given.what == "client":
        _conclude(api_clients.rotate(release, given.client or "", given.overlap))
    else:
        parts = {"begin_only": given.begin, "finish_only": given.finish}
        _conclude(Rotation(release, given.what, _own_secrets(), **parts).run())


def _retire(_: argparse.Namespace) -> None:
    release = _active_release()
    _refuse_without_head()
    _conclude(rotation.retire(release))


def _own_secrets() -> dict[str, str]:
    """Read what the Vault has, if anything: an object on the standard input."""
    return {name: secret for name, secret in _told().items() if secret}


def _told() -> dict[str, Any]:
    """Return the object on the standard input, if anything is there."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    told: dict[str, Any] = json.loads(sys.stdin.read() or "{}")
    return told


def _export(given: argparse.Namespace) -> None:
    say(json.dumps(handed.export(given.parts)))


def _take(_: argparse.Namespace) -> None:
    release = _active_release()
    if not head():
        raise CommandError("this host makes its secrets itself, and takes none of another one's")
    changed = _take_over(release, _told())
    if rotation.is_behind():
        rotation.switch(release)
        changed.add(rotation.BEGUN)
    _conclude(changed)


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if wrong := sorted(set(parts) - set(handed.PARTS)):
        raise argparse.ArgumentTypeError(
            f"{wrong[0]!r} is none; expected some of {', '.join(handed.PARTS)}"
        )
    return parts


def _show(given: argparse.Namespace) -> None:
    _active_release()

    def secret(name: str, volume: str = secret_files.VOLUME) -> str:
        if given.password:
            return secret_files.text(name, volume)
        return f"sudo cat {secret_files.folder(volume) / name}"

    say(f"API user       {dotenv().get('AUTH_USERNAME') or 'admin'}")
    say(f"API password   {secret(PASSWORD)}")
    say(f"  changed      {secret_files.changed_at(PASSWORD):%Y-%m-%d %H:%M} UTC")
    former = "is still accepted: end it with -e retire=api"
    say(f"  the former   {former if secret_files.text(PREVIOUS) else 'none is accepted'}")
    for label, name in SIGNING.items():
        say(f"{label:<14} {secret(name)}")
        if secret_files.text(f"{name}_previous"):
            say(f"  the former   signs as well: to end it, remove {name}_previous and deploy")
    _show_others(secret)
    say(f"  changed      {secret_files.changed_at('database_url'):%Y-%m-%d %H:%M} UTC")
    if pending := read_json(PENDING, None):
        say(f"CUT OFF        the change by {pending['by']} since {pending['since']}: run it again")


def _show_others(secret: Callable[..., str]) -> None:
    """Show what this host has of the API's clients and of the database."""
    if name := head():
        say(f"API clients    their secrets are on {name}")
    else:
        say("API clients    one secret for each")
        for client in api_clients.listed():
            if not client.revoked:
                say(f"  {client.name:<12} {secret(client.file, api_clients.VOLUME)}")
    if has_part(DATABASE):
        say("MySQL          one password for each account")
        for account in database_accounts.names():
            say(f"  {account:<12} {secret(f'{account}_password', secret_files.MYSQL_VOLUME)}")
    else:
        say(f"Database       {secret('database_url')}")


def _refuse_without_head() -> None:
    if name := head():
        raise CommandError(
            f"this host's secrets are made and changed on {name}; run credentials.yml without"
            " --limit, which begins there"
        )


def _active_release() -> str:
    release = ledger.read()["active"]
    if release is None:
        raise CommandError("nothing serves on this host yet; run deploy.yml first")
    return release


def _conclude(changed: set[str]) -> None:
    say(f"CHANGED: {', '.join(sorted(changed))}" if changed else "UNCHANGED")
