"""SQL of the idempotency keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.storage.database import utcnow
from service.storage.models import IdempotencyKey
from service.storage.multirow import MultiRowInsert


class KeyTaken(Exception):
    """The key was used before."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to store, with the answer to its order."""

    key_hash: bytes
    payload_hash: bytes
    order_id: int
    status: int


_INSERT = MultiRowInsert(
    insert(IdempotencyKey).values(
        key_hash=bindparam("key_hash"),
        payload_hash=bindparam("payload_hash"),
        order_id=bindparam("order_id"),
        status=bindparam("status"),
        created_at=utcnow(),
    )
)


def insert_keys(connection: Connection, keys: Collection[NewKey]) -> None:
    """Store keys, all or none; waits for a transaction that is storing the same key.

    They are stored in ascending order, so that two such statements never wait in a circle.

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
    try:
        _INSERT.execute(connection, rows)
    except IntegrityError:
        raise KeyTaken from None


def set_status(connection: Connection, key_hash: bytes, status: int) -> None:
    """Change the answer that is stored with the key."""
    connection.execute(
        update(IdempotencyKey).where(IdempotencyKey.key_hash == key_hash).values(status=status)
    )


def get_key(connection: Connection, key_hash: bytes) -> Row[*tuple[Any, ...]]:
    """Return the key's `payload_hash` and `status`."""
    return connection.execute(
        select(IdempotencyKey.payload_hash, IdempotencyKey.status).where(
            IdempotencyKey.key_hash == key_hash
        )
    ).one()
