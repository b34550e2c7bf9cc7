"""Orders with an `Idempotency-Key`: the first answer to a key is stored with its order, and
repeats get it again."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from service.accepting.taken import expect_progress, find_taken
from service.storage import idempotency_keys
from service.storage import orders as dao
from service.storage.database import Database, refuse_after
from service.storage.idempotency_keys import KeyTaken, NewKey, StoredKey
from service.storage.orders import DuplicateOrder, NewOrder

ACCEPTED, DUPLICATE = 201, 409
_KEY = re.compile(r"[ -~]{1,255}")

KeyedOrder = tuple[NewOrder, NewKey]


class KeyReused(Exception):
    """The idempotency key was used before with another payload."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to an order: its status, and whether it repeats the first answer to its key."""

    status: int
    replayed: bool = False


def is_valid_key(key: str) -> bool:
    """Return whether an `Idempotency-Key` is 1 to 255 printable ASCII characters."""
    return _KEY.fullmatch(key) is not None


def make_key(order: NewOrder, key: str) -> NewKey:
    """Return what is to be stored for the order's key."""
    # Of the values, not of the bytes: a client may write the same order with other spaces. And of
    # nothing that is new with each request, such as its trace.
    payload = f"{order.order_id} {order.user_id} {order.item_ids} {order.total_amount}"
    return NewKey(
        key_hash=hashlib.sha256(key.encode()).digest(),
        payload_hash=hashlib.sha256(payload.encode()).digest(),
        order_id=order.order_id,
        status=ACCEPTED,
    )


class KeyedOrders:
    """Stores batches of orders with their keys.

    A batch is stored in one transaction, in the hope that all of it is new. When it is not, what is
    there already is looked up, and the rest is stored in one transaction again. So a repeated key
    costs about what a new one does, however many come at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, entries: Sequence[KeyedOrder]) -> list[Acceptance | Exception]:
        """Return the answer to each entry: an `Acceptance`, or `KeyReused`."""
        # Of several with one key, the first.
        first = {key.key_hash: (order, key) for order, key in reversed(entries)}
        stored = self._store([first[key_hash] for key_hash in reversed(first)])
        answers: list[Acceptance | Exception] = []
        for order, key in entries:
            known, was_there = stored[key.key_hash]
            if known.payload_hash != key.payload_hash:
                answers.append(KeyReused())
                continue
            is_first = first[key.key_hash][0] is order
            answers.append(Acceptance(known.status, replayed=was_there or not is_first))
        return answers

    def _store(self, entries: Sequence[KeyedOrder]) -> dict[bytes, tuple[StoredKey, bool]]:
        """Store those whose key is new; return what is stored of each key, and whether it was
        there before."""
        started = time.monotonic()
        there: dict[bytes, StoredKey] = {}
        taken: set[int] = set()
        while new := _decide([one for one in entries if one[1].key_hash not in there], taken):
            try:
                self._insert(new)
            except KeyTaken:
                refuse_after(started)
                known = self._find_keys([key.key_hash for _, key in new])
                expect_progress(known)
                there |= known
            except DuplicateOrder:
                refuse_after(started)
                taken |= find_taken(
                    self._database, [key.order_id for _, key in new if key.status == ACCEPTED]
                )
            else:
                break
        found = {key_hash: (known, True) for key_hash, known in there.items()}
        for _, key in new:
            found[key.key_hash] = (StoredKey(key.payload_hash, key.status), False)
        return found

    def _insert(self, entries: Sequence[KeyedOrder]) -> None:
        def work(connection: Connection) -> None:
            idempotency_keys.insert_keys(connection, [key for _, key in entries])
            orders = [order for order, key in entries if key.status == ACCEPTED]
            if orders:
                dao.insert_orders(connection, orders)

        self._database.transaction(work, alone=len(entries) == 1)

    def _find_keys(self, key_hashes: Collection[bytes]) -> dict[bytes, StoredKey]:
        return self._database.statement(
            lambda connection: idempotency_keys.get_keys(connection, key_hashes)
        )


def _decide(entries: Sequence[KeyedOrder], taken: Collection[int]) -> list[KeyedOrder]:
    """Give each key its status: `DUPLICATE` where the `order_id` is taken, or comes earlier."""
    seen = set(taken)
    decided = []
    for order, key in entries:
        status = DUPLICATE if order.order_id in seen else ACCEPTED
        decided.append((order, replace(key, status=status)))
        seen.add(order.order_id)
    return decided
