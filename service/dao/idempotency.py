"""SQL of the idempotency keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.database import utcnow
from service.models import IdempotencyKey


class KeyTaken(Exception):
    """The key was used before."""


def insert_key(
    connection: Connection, *, key_hash: bytes, payload_hash: bytes, order_id: int, status: int
) -> None:
    """Store a key with its answer; waits for a transaction that is storing the same key.

    Raises:
        KeyTaken: it is stored already.
    """
    try:
        connection.execute(
            insert(IdempotencyKey).values(
                key_hash=key_hash,
                payload_hash=payload_hash,
                order_id=order_id,
                status=status,
                created_at=utcnow(),
            )
        )
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
