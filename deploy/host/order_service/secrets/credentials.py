"""Makes, shows and changes the passwords of this host, without a request that is refused.

A change of MySQL's passwords takes several steps. `state/rotation.json` names the one that is next,
so a change that was cut off anywhere is ended by starting it again.

Secrets of the operator's own come on the standard input, as a JSON object: the variable of
docker-compose.yml that names a secret's file, and the secret.

Of several hosts one, the head, makes and changes them: `export` prints what another host needs as
JSON, and that one is to `take` it from its standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from order_service.dotenv import dotenv, head
from order_service.host import STATE, CommandError, caller, now, read_json, say, write_json
from order_service.release import colours, ledger, rollout
from order_service.secrets import api_clients, database_accounts, handed, secret_files

PENDING = STATE / "rotation.json"
DAY = 24 * 3600
PASSWORD, PREVIOUS = "auth_password", "auth_password_previous"
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
        return handed.take(release, from_head or {})
    brought = {name: secret for name, secret in own.items() if secret}
    changed = secret_files.make(release, "--overlap", own=brought)
    if database_accounts.is_running():
        database_accounts.wait()
        database_accounts.apply()
    return changed


def _rotate(given: argparse.Namespace) -> None:
    release = _active_release()
    _refuse_without_head()
    if given.what == "client":
        _conclude(api_clients.rotate(release, given.client or "", given.overlap))
        return
    pending = PENDING.exists()
    changed: set[str] = set()
    if given.what in ("api", "all"):
        own = _own_secrets()
        brought = "AUTH_PASSWORD_FILE" in own
        changed = secret_files.make(release, "--overlap" if brought else "--change-api", own=own)
        if PASSWORD not in changed and not pending and not _is_behind():
            raise CommandError(_why_not_again(brought=brought))
    if pending or given.what in ("database", "all"):
        changed |= _change_database(release)
    if _is_behind():
        _switch(release)
    _conclude(changed or {"what had been cut off"})


def _own_secrets() -> dict[str, str]:
    """Read what the Vault has, if anything: an object on the standard input."""
    return {name: secret for name, secret in _told().items() if secret}


def _told() -> dict[str, Any]:
    """Return the object on the standard input, if anything is there."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    told: dict[str, Any] = json.loads(sys.stdin.read() or "{}")
    return told


def _why_not_again(*, brought: bool) -> str:
    if brought:
        return (
            "api_password is the password in use already; change it in your Vault file first, or"
            " remove it there and a password is made here"
        )
    return (
        f"the API's password was changed at {secret_files.changed_at(PASSWORD):%Y-%m-%d %H:%M} UTC,"
        " and the one before is still accepted; end that one first: -e retire=api"
    )


def _change_database(release: str) -> set[str]:
    """Take the steps that are left; each can be taken again after it was cut off."""
    changed: set[str] = set()

    def commit() -> None:
        changed.update(secret_files.make(release, "--commit-database"))
        # A restart of MySQL since the last step went back to the former passwords.
        database_accounts.apply()

    steps: dict[str, Callable[[], None]] = {
        "have MySQL accept new passwords": database_accounts.accept_next,
        "hand the new passwords over": commit,
        "switch to containers that use them": lambda: _switch(release),
        "end the former passwords": database_accounts.discard_former,
    }
    database_accounts.wait()
    names = list(steps)
    if not PENDING.exists():
        secret_files.make(release, "--prepare-database")
        write_json(PENDING, {"next": names[0], "since": now(), "by": caller()})
    pending = read_json(PENDING, {})
    say(f"changing the database's passwords since {pending['since']}")
    for place in range(names.index(pending["next"]), len(names)):
        write_json(PENDING, pending | {"next": names[place]})
        say(names[place])
        steps[names[place]]()
    PENDING.unlink()
    return changed


def _switch(release: str) -> None:
    """Replace the service's containers by ones that have read the new files."""
    say(rollout.bring(rollout.Wanted(release, force=True)))


def _retire(_: argparse.Namespace) -> None:
    release = _active_release()
    _refuse_without_head()
    if secret_files.text(PREVIOUS) and (PENDING.exists() or _is_behind()):
        raise CommandError(
            "a change of the passwords was cut off; end it first, by the same -e rotate=... again"
        )
    changed = secret_files.make(release, "--retire-api")
    if _is_behind():
        _switch(release)
        changed.add(PREVIOUS)
    _conclude(changed)


def _export(given: argparse.Namespace) -> None:
    say(json.dumps(handed.export(given.parts)))


def _take(_: argparse.Namespace) -> None:
    release = _active_release()
    if not head():
        raise CommandError("this host makes its secrets itself, and takes none of another one's")
    changed = handed.take(release, _told())
    if _is_behind():
        _switch(release)
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
    say("API clients    one secret for each")
    for client in api_clients.listed():
        if not client.revoked:
            say(f"  {client.name:<12} {secret(client.file, api_clients.VOLUME)}")
    say("MySQL          one password for each account")
    for account in database_accounts.ACCOUNTS:
        say(f"  {account:<12} {secret(f'{account}_password', secret_files.MYSQL_VOLUME)}")
    say(f"  changed      {secret_files.changed_at('database_url'):%Y-%m-%d %H:%M} UTC")
    if pending := read_json(PENDING, None):
        say(f"CUT OFF        the change by {pending['by']} since {pending['since']}: run it again")


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


def _is_behind() -> bool:
    """Return whether the service's containers are older than their secrets."""
    return secret_files.newer_than([one["id"] for one in colours.serving().containers()])


def _conclude(changed: set[str]) -> None:
    say(f"CHANGED: {', '.join(sorted(changed))}" if changed else "UNCHANGED")
