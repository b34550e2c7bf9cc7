"""Accepting orders: exactly once, whatever clients repeat. And telling their statuses.

Orders that arrive at the same time are stored in one statement (`service.accepting.batcher`),
hopefully: when one of them is a duplicate, nothing is stored, and the others are stored again
without it.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from service.accepting.batcher import Batcher
from service.server import handover
from service.storage import idempotency_keys as idempotency
from service.storage import orders as dao
from service.storage.database import POOL_TIMEOUT, STATEMENT_TIMEOUT, Database, is_conflict
from service.storage.idempotency_keys import KeyTaken, NewKey
from service.storage.orders import DuplicateOrder, NewOrder
from service.storage.stall import DatabaseStalled

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


class Ordering:
    """Orders of one process, accepted and looked up in batches.

    `places` is how many callers may wait in threads of the server's, of which it needs some for
    what asks the database nothing. Those on the event loop take no thread.
    """

    def __init__(self, database: Database, threads: Executor, places: int) -> None:
        self._database = database
        self._places = threading.BoundedSemaphore(places)
        self._plain = Batcher(self._accept_plain, threads, is_conflict)
        self._keyed = Batcher(self._accept_keyed, threads, is_conflict)
        self._statuses = Batcher(self._get_statuses, threads)

    def accept(self, order: NewOrder, key: str | None) -> Acceptance:
        """Store the order, durably, before returning; or tell that its `order_id` is taken.

        Raises:
            KeyReused: the key was used before with another payload.
        """
        with self._place():
            if key is None:
                return self._plain.submit(order)
            return self._keyed.submit((order, _make_key(order, key)))

    def status(self, order_id: int) -> str | None:
        """Return the order's status, or None when there is no such order."""
        with self._place():
            return self._statuses.submit(order_id)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Watch one use of the database; off the event loop, by so many at once as have a place.

        Raises:
            DatabaseStalled: the database has stopped answering, or no place got free.
        """
        with self._database.watch():
            if handover.is_on_loop():
                yield
                return
            if not self._places.acquire(timeout=POOL_TIMEOUT):
                raise DatabaseStalled
            try:
                yield
            finally:
                self._places.release()

    def _get_statuses(self, order_ids: Sequence[int]) -> list[str | None]:
        found = self._database.statement(
            lambda connection: dao.get_statuses(connection, set(order_ids))
        )
        return [found.get(order_id) for order_id in order_ids]

    def _accept_plain(self, orders: Sequence[NewOrder]) -> list[Acceptance | Exception]:
        # Of several orders with one id, the first.
        new = {order.order_id: order for order in reversed(orders)}
        stored = self._store(new)
        answers: list[Acceptance | Exception] = []
        for order in orders:
            accepted = order.order_id in stored and new[order.order_id] is order
            answers.append(Acceptance(ACCEPTED if accepted else DUPLICATE))
        return answers

    def _store(self, new: dict[int, NewOrder]) -> set[int]:
        """Store those whose `order_id` is not taken; return their ids."""
        remaining = dict(new)
        while remaining:
            try:
                self._insert(remaining.values())
            except DuplicateOrder:
                # None, if somebody has removed it meanwhile: then they are all new.
                for order_id in self._find_taken(remaining):
                    del remaining[order_id]
            else:
                break
        return set(remaining)

    def _insert(self, orders: Collection[NewOrder]) -> None:
        self._database.statement(
            lambda connection: dao.insert_orders(connection, orders), alone=len(orders) == 1
        )

    def _find_taken(self, order_ids: Collection[int]) -> Collection[int]:
        if len(order_ids) == 1:
            return list(order_ids)
        return self._database.statement(
            lambda connection: dao.get_statuses(connection, order_ids)
        ).keys()

    def _accept_keyed(
        self, entries: Sequence[tuple[NewOrder, NewKey]]
    ) -> list[Acceptance | Exception]:
        if len(entries) > 1 and self._accept_all(entries):
            return [Acceptance(ACCEPTED)] * len(entries)
        answers: list[Acceptance | Exception] = []
        deadline = time.monotonic() + STATEMENT_TIMEOUT
        for order, key in entries:
            if time.monotonic() > deadline:
                # Behind orders that have met locks: it would wait for the sum of those.
                answers.append(DatabaseStalled())
                continue
            try:
                answers.append(self._accept_one(order, key))
            except Exception as problem:  # noqa: BLE001 - it is raised to the one caller
                answers.append(problem)
        return answers

    def _accept_all(self, entries: Sequence[tuple[NewOrder, NewKey]]) -> bool:
        """Store all with their keys; False when something of it is there already."""

        def work(connection: Connection) -> None:
            idempotency.insert_keys(connection, [key for _, key in entries])
            dao.insert_orders(connection, [order for order, _ in entries])

        try:
            self._database.transaction(work, alone=False)
        except (KeyTaken, DuplicateOrder):
            return False
        return True

    def _accept_one(self, order: NewOrder, key: NewKey) -> Acceptance:
        def work(connection: Connection) -> int:
            idempotency.insert_keys(connection, [key])
            try:
                dao.insert_orders(connection, [order])
            except DuplicateOrder:
                idempotency.set_status(connection, key.key_hash, DUPLICATE)
                return DUPLICATE
            return ACCEPTED

        try:
            return Acceptance(self._database.transaction(work))
        except KeyTaken:
            return self._replay(key)

    def _replay(self, key: NewKey) -> Acceptance:
        first = self._database.statement(
            lambda connection: idempotency.get_key(connection, key.key_hash)
        )
        if first.payload_hash != key.payload_hash:
            raise KeyReused
        return Acceptance(first.status, replayed=True)


def _make_key(order: NewOrder, key: str) -> NewKey:
    # Of the values, not of the bytes: a client may write the same order with other spaces.
    payload = f"{order.order_id} {order.user_id} {order.item_ids} {order.total_amount}"
    return NewKey(
        key_hash=hashlib.sha256(key.encode()).digest(),
        payload_hash=hashlib.sha256(payload.encode()).digest(),
        order_id=order.order_id,
        status=ACCEPTED,
    )
