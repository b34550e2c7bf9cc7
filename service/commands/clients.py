"""`flask clients …`: who may call the API, and what with."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy import Connection, Row

from service.commands.output import (
    DURATION,
    as_json,
    explain_failures,
    operator,
    print_json,
    print_table,
)
from service.runtime import runtime
from service.storage import audit
from service.storage import clients as dao
from service.storage.audit import Act
from service.storage.clients import NameTaken, Scope, hash_secret, scopes_of
from service.storage.models import NAME_LENGTH
from service.storage.moments import format_moment

clients_cli = AppGroup("clients", help="Say who may call the API, and what with.")

SECRET_BYTES = 32
# Of a secret that is given. What is shorter could be guessed from its hash.
SHORTEST_SECRET, LONGEST_SECRET = 32, 255
COLUMNS = ("name", "scopes", "created_at", "changed_at", "former_secret_until", "revoked_at")

ClientRow = Row[*tuple[Any, ...]]


class NameType(click.ParamType[str]):
    """The name of a client, as HTTP Basic can carry it."""

    name = "name"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check the text."""
        text = str(value)
        if not 1 <= len(text) <= NAME_LENGTH or not text.isprintable() or text != text.strip():
            self.fail(
                f"{text!r} is no name; expected 1 to {NAME_LENGTH} printable characters, without"
                " spaces at the ends",
                param,
                ctx,
            )
        if ":" in text:
            self.fail(f"{text!r} holds ':', which ends a name in HTTP Basic", param, ctx)
        return text


class SecretFileType(click.ParamType[str]):
    """The path of a file; the value is the secret in it."""

    name = "path"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Read the secret."""
        try:
            text = Path(str(value)).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
            self.fail(f"cannot read {str(value)!r} ({reason})", param, ctx)
        fits = SHORTEST_SECRET <= len(text) <= LONGEST_SECRET
        if not fits or not text.isascii() or not text.isprintable():
            self.fail(
                f"{str(value)!r} holds no secret; expected {SHORTEST_SECRET} to {LONGEST_SECRET}"
                " random printable ASCII characters in one line",
                param,
                ctx,
            )
        return text


name_argument = click.argument("name", type=NameType())
secret_file = click.option(
    "--secret-file",
    "given",
    type=SecretFileType(),
    metavar="PATH",
    help="Take the secret in this file, and print none.",
)


@clients_cli.command("create")
@name_argument
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="What it may do; can be repeated.",
)
@secret_file
@click.option(
    "--update",
    is_flag=True,
    help="If there is one, give it these scopes, and the secret of the file.",
)
@as_json
@explain_failures
def create(
    name: str, scopes: tuple[str, ...], given: str | None, update: bool, as_json: bool
) -> None:
    """Make the client NAME, and print its secret, which is shown only now.

    With --secret-file it may be repeated: while all is as it should be, nothing changes.
    """
    _check_own(name)
    wanted = frozenset(Scope(scope) for scope in scopes)
    secret = given or secrets.token_urlsafe(SECRET_BYTES)

    def work(connection: Connection) -> tuple[bool, bool]:
        row = dao.lock_client(connection, name)
        if row is None:
            dao.insert_client(connection, name, wanted, hash_secret(secret))
            audit.record(connection, operator(), Act.CLIENT_CREATE, name, _words(wanted))
            return True, True
        _check_not_revoked(row)
        return False, _bring_to(connection, row, wanted, given, update=update)

    try:
        created, changed = runtime().database.transaction(work)
    except NameTaken:  # in the same moment
        raise click.ClickException(f"there is a client {name!r} already") from None
    new = secret if created and given is None else None
    _tell(name, new, changed=changed, as_json=as_json)


@clients_cli.command("list")
@as_json
@explain_failures
def list_clients(as_json: bool) -> None:
    """List the clients, those that are revoked as well."""
    rows = [_shown(row) for row in runtime().database.statement(dao.list_clients)]
    if as_json:
        print_json(rows)
    else:
        print_table(COLUMNS, [_cells(row) for row in rows])


@clients_cli.command("rotate")
@name_argument
@click.option(
    "--overlap",
    type=DURATION,
    default="0s",
    show_default=True,
    help="For how long the former secret stays right: 1h.",
)
@secret_file
@as_json
@explain_failures
def rotate(name: str, overlap: float, given: str | None, as_json: bool) -> None:
    """Give the client NAME another secret, and print it."""
    _check_own(name)
    secret = given or secrets.token_urlsafe(SECRET_BYTES)

    def work(connection: Connection, row: ClientRow) -> bool:
        _check_not_revoked(row)
        if row.secret_hash == hash_secret(secret):
            return False
        dao.change_secret(connection, row.id, hash_secret(secret), overlap)
        detail = f"the former secret is right for {overlap:g} s more" if overlap else None
        audit.record(connection, operator(), Act.CLIENT_ROTATE, name, detail)
        return True

    changed = _change(name, work)
    _tell(name, secret if given is None else None, changed=changed, as_json=as_json)


@clients_cli.command("revoke")
@name_argument
@as_json
@explain_failures
def revoke(name: str, as_json: bool) -> None:
    """Refuse the client NAME from now on; every process knows within seconds."""
    _check_own(name)

    def work(connection: Connection, row: ClientRow) -> bool:
        if row.revoked_at is not None:
            return False
        dao.revoke_client(connection, row.id)
        audit.record(connection, operator(), Act.CLIENT_REVOKE, name)
        return True

    changed = _change(name, work)
    _tell(name, None, changed=changed, as_json=as_json)
    if not as_json:
        click.echo(f"The client {name} is refused from now on.")


def _check_own(name: str) -> None:
    if name == runtime().settings.auth_username:
        raise click.ClickException(
            f"{name!r} is AUTH_USERNAME, who has every scope; expected another name"
        )


def _check_not_revoked(row: ClientRow) -> None:
    if row.revoked_at is not None:
        raise click.ClickException(
            f"the client {row.name!r} was revoked at {format_moment(row.revoked_at)}, and its name"
            " is never used again; create one of another name"
        )


def _bring_to(
    connection: Connection,
    row: ClientRow,
    scopes: frozenset[Scope],
    secret: str | None,
    *,
    update: bool,
) -> bool:
    """Make an existing client what was asked for, if that is allowed; return whether it differs."""
    new_secret = secret is not None and row.secret_hash != hash_secret(secret)
    new_scopes = scopes_of(row.scopes) != scopes
    if not update:
        if secret is None or new_secret or new_scopes:
            raise click.ClickException(
                f"there is a client {row.name!r} already, with {_words(scopes_of(row.scopes))};"
                " --update gives it other scopes, `flask clients rotate` another secret"
            )
        return False
    if new_scopes:
        dao.change_scopes(connection, row.id, scopes)
        audit.record(connection, operator(), Act.CLIENT_SCOPES, row.name, _words(scopes))
    if secret is not None and new_secret:
        dao.change_secret(connection, row.id, hash_secret(secret))
        audit.record(connection, operator(), Act.CLIENT_ROTATE, row.name)
    return new_scopes or new_secret


def _change(name: str, work: Callable[[Connection, ClientRow], bool]) -> bool:
    def locked(connection: Connection) -> bool:
        row = dao.lock_client(connection, name)
        if row is None:
            raise click.ClickException(f"there is no client {name!r}; see `flask clients list`")
        return work(connection, row)

    return runtime().database.transaction(locked)


def _tell(name: str, secret: str | None, *, changed: bool, as_json: bool) -> None:
    if as_json:
        rows = runtime().database.statement(dao.list_clients)
        [shown] = [_shown(row) for row in rows if row.name == name]
        said = {"changed": changed} if secret is None else {"changed": changed, "secret": secret}
        print_json(shown | said)
    elif secret is not None:
        click.echo(secret)


def _shown(row: ClientRow) -> dict[str, object]:
    return {
        "name": row.name,
        "scopes": _words(scopes_of(row.scopes)).split(),
        "created_at": _moment(row.created_at),
        "changed_at": _moment(row.changed_at),
        "former_secret_until": _moment(row.previous_until),
        "revoked_at": _moment(row.revoked_at),
    }


def _cells(shown: dict[str, object]) -> list[object]:
    return [" ".join(one) if isinstance(one, list) else one for one in shown.values()]


def _moment(stored: datetime | None) -> str | None:
    return None if stored is None else format_moment(stored)


def _words(scopes: frozenset[Scope]) -> str:
    return " ".join(scope.value for scope in Scope if scope in scopes)
