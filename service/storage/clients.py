"""SQL of the API's clients: their scopes, and the hashes of their secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Row,
    Select,
    case,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from service.storage.failures import is_duplicate
from service.storage.models import Client
from service.storage.moments import utcnow


class Scope(StrEnum):
    """What a client may do. `operate` is everything an operator does, but not to post orders."""

    ORDERS_WRITE = "orders:write"
    ORDERS_READ = "orders:read"
    METRICS_READ = "metrics:read"
    OPERATE = "operate"


class NameTaken(Exception):
    """There is a client of that name already, or there was one."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client that may call has: its name, its scopes, and the hashes of secrets that are
    right now."""

    name: str
    scopes: frozenset[Scope]
    hashes: tuple[bytes, ...]


_KNOWN = {scope.value: scope for scope in Scope}
_before = case((Client.previous_until > utcnow(), Client.previous_hash))
_VALID = select(Client.name, Client.scopes, Client.secret_hash, _before.label("before")).where(
    Client.revoked_at.is_(None)
)
_ALL: Select[*tuple[Any, ...]] = select(
    Client.id,
    Client.name,
    Client.scopes,
    Client.secret_hash,
    Client.previous_until,
    Client.created_at,
    Client.changed_at,
    Client.revoked_at,
)


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a secret: its SHA-256, since secrets are random and long."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def read_credentials(connection: Connection) -> list[Credentials]:
    """Return the credentials of all clients that are not revoked."""
    return [
        Credentials(
            row.name,
            scopes_of(row.scopes),
            (row.secret_hash,) if row.before is None else (row.secret_hash, row.before),
        )
        for row in connection.execute(_VALID)
    ]


def scopes_of(stored: str) -> frozenset[Scope]:
    """Return the scopes that are stored; those that only a later release knows are left out."""
    return frozenset(_KNOWN[one] for one in stored.split() if one in _KNOWN)


def list_clients(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return all clients by name, revoked ones too."""
    return connection.execute(_ALL.order_by(Client.name)).all()


def lock_client(connection: Connection, name: str) -> Row[*tuple[Any, ...]] | None:
    """Return the client, locked until the transaction ends, or None when there is no such."""
    return connection.execute(_ALL.where(Client.name == name).with_for_update()).first()


def insert_client(
    connection: Connection, name: str, scopes: Collection[Scope], secret_hash: bytes
) -> None:
    """Store a client.

    Raises:
        NameTaken: there is one of that name, or there was one.
    """
    new = insert(Client).values(
        name=name,
        scopes=_stored(scopes),
        secret_hash=secret_hash,
        created_at=utcnow(),
        changed_at=utcnow(),
    )
    try:
        connection.execute(new)
    except IntegrityError as error:
        if is_duplicate(error, "uq_clients_name", "clients.name"):
            raise NameTaken from None
        raise


def change_scopes(connection: Connection, row_id: int, scopes: Collection[Scope]) -> None:
    """Give the client these scopes in place of those that it has."""
    _change(connection, row_id, scopes=_stored(scopes))


def change_secret(
    connection: Connection, row_id: int, secret_hash: bytes, overlap: float = 0.0
) -> None:
    """Give the client another secret; its present one stays right for `overlap` seconds more."""
    before: dict[str, Any] = {"previous_hash": None, "previous_until": None}
    if overlap:
        before = {
            "previous_hash": Client.secret_hash,
            "previous_until": utcnow(literal(overlap, Float)),
        }
    # Apart and before: MySQL would take the new secret for the one before.
    _change(connection, row_id, **before)
    _change(connection, row_id, secret_hash=secret_hash)


def revoke_client(connection: Connection, row_id: int) -> None:
    """Refuse the client from now on. Its row stays, so that nobody gets its name."""
    _change(connection, row_id, revoked_at=utcnow(), previous_hash=None, previous_until=None)


def _change(connection: Connection, row_id: int, **values: Any) -> None:
    changed = update(Client).where(Client.id == row_id)
    connection.execute(changed.values(**values, changed_at=utcnow()))


def _stored(scopes: Collection[Scope]) -> str:
    return " ".join(scope.value for scope in Scope if scope in scopes)
