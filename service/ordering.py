"""Accepting orders: exactly once, whatever clients repeat."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from sqlalchemy import Connection

from service.dao import idempotency
from service.dao.idempotency import KeyTaken
from service.dao.orders import DuplicateOrder, NewOrder, insert_order
from service.database import Database

ACCEPTED, DUPLICATE = 201, 409
_KEY = re.compile(r"[ -~]{1,255}")


class KeyReused(Exception):
    """The idempotency key was used before with another payload."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to an order: its status, and whether it repeats the first answer to its key."""

    status: int
    replayed: bool = False


def is_valid_key(key: str) -> bool:
    """Tell whether an `Idempotency-Key` is 1 to 255 printable (ASCII) characters."""
    return _KEY.fullmatch(key) is not None


def accept_order(database: Database, order: NewOrder, key: str | None) -> Acceptance:
    """Store the order, durably, before returning; or tell that its `order_id` is taken.

    Raises:
        KeyReused: the key was used before with another payload.
    """
    if key is None:
        return Acceptance(database.statement(lambda connection: _insert(connection, order)))
    key_hash = hashlib.sha256(key.encode()).digest()
    payload_hash = _hash_payload(order)
    try:
        status = database.transaction(
            lambda connection: _insert_with_key(connection, order, key_hash, payload_hash)
        )
    except KeyTaken:
        first = database.statement(lambda connection: idempotency.get_key(connection, key_hash))
        if first.payload_hash != payload_hash:
            raise KeyReused from None
        return Acceptance(first.status, replayed=True)
    return Acceptance(status)


def _insert(connection: Connection, order: NewOrder) -> int:
    try:
        insert_order(connection, order)
    except DuplicateOrder:
        return DUPLICATE
    return ACCEPTED


def _insert_with_key(
    connection: Connection, order: NewOrder, key_hash: bytes, payload_hash: bytes
) -> int:
    idempotency.insert_key(
        connection,
        key_hash=key_hash,
        payload_hash=payload_hash,
        order_id=order.order_id,
        status=ACCEPTED,
    )
    status = _insert(connection, order)
    if status != ACCEPTED:
        idempotency.set_status(connection, key_hash, status)
    return status


def _hash_payload(order: NewOrder) -> bytes:
    # Of the values, not of the bytes: a client may write the same order with other spaces.
    text = f"{order.order_id} {order.user_id} {order.item_ids} {order.total_amount}"
    return hashlib.sha256(text.encode()).digest()
