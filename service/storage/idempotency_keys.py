"""SQL of the idempotency keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from operator import attrgetter

from sqlalchemy import Connection, Float, bindparam, delete, insert, literal, select

from service.storage.inserts import NewRows
from service.storage.models import IdempotencyKey
from service.storage.moments import utcnow


class KeyTaken(Exception):
    """The key was used before."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to store, with the answer to its order."""

    key_hash: bytes
    payload_hash: bytes
    order_id: int
    status: int


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What a key was first used for, and the answer to it."""

    payload_hash: bytes
    status: int


_NEW_KEYS = NewRows(
    statements={
        "mysql": insert(IdempotencyKey),
        "sqlite": insert(IdempotencyKey).values(created_at=utcnow()),
    },
    key="idempotency_keys.PRIMARY",
    column="idempotency_keys.key_hash",
    taken=KeyTaken,
)
_STORED = select(IdempotencyKey.key_hash, IdempotencyKey.payload_hash, IdempotencyKey.status).where(
    IdempotencyKey.key_hash.in_(bindparam("key_hashes", expanding=True))
)


def insert_keys(connection: Connection, keys: Collection[NewKey]) -> None:
    """Store keys, all or none; waits for a transaction that is storing the same key.

    They are stored in ascending order, so that two such statements never wait in a circle. Needs a
    transaction.

    Raises:
        KeyTaken: one of them is stored already.
    """
    rows = [
        {
            "key_hash": key.key_hash,
            "payload_hash": key.payload_hash,
            "order_id": key.order_id,
            "status": key.status,
        }
        for key in sorted(keys, key=attrgetter("key_hash"))
    ]
    _NEW_KEYS.insert(connection, rows)


def get_keys(connection: Connection, key_hashes: Collection[bytes]) -> dict[bytes, StoredKey]:
    """Return what is stored of each of these keys that there is."""
    rows = connection.execute(_STORED, {"key_hashes": list(key_hashes)})
    return {row.key_hash: StoredKey(row.payload_hash, row.status) for row in rows}


def find_old_keys(connection: Connection, days: float, limit: int) -> list[bytes]:
    """Return at most `limit` of the keys that are older than so many days, the oldest first."""
    old = (
        select(IdempotencyKey.key_hash)
        .where(IdempotencyKey.created_at < utcnow(literal(-86400.0 * days, Float)))
        .order_by(IdempotencyKey.created_at)
        .limit(limit)
    )
    return list(connection.execute(old).scalars())


def delete_keys(connection: Connection, key_hashes: Collection[bytes]) -> int:
    """Delete these keys; return how many were there."""
    chosen = IdempotencyKey.key_hash.in_(sorted(key_hashes))
    return connection.execute(delete(IdempotencyKey).where(chosen)).rowcount
