"""Accepts orders: each exactly once, whatever clients repeat. And looks up their statuses.

Orders that arrive at the same time are stored in one statement (`service.accepting.batcher`),
hopefully: when one of them is a duplicate, nothing is stored, and the others are stored again
without it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from service.accepting.batcher import Batcher
from service.accepting.keyed import (
    ACCEPTED,
    DUPLICATE,
    Acceptance,
    KeyedOrder,
    KeyedOrders,
    make_key,
)
from service.accepting.taken import find_taken
from service.storage import orders as dao
from service.storage.database import Database, refuse_after
from service.storage.failures import (
    OutcomeUnknown,
    is_conflict,
    is_outcome_unknown,
    is_permanent,
)
from service.storage.orders import DuplicateOrder, NewOrder
from service.storage.places import Places
from service.telemetry import tracing


class Acceptor:
    """Orders of one process, accepted and looked up in batches.

    Args:
        places: of all that use the database.
        writers: how many of those may be accepting orders, so that a lock on the table of orders
            leaves some to reads.
    """

    def __init__(self, database: Database, places: Places, writers: int) -> None:
        self._database = database
        self._places = places
        self._writers = Places(writers)
        self._keyed_orders = KeyedOrders(database)
        self._plain = Batcher(self._accept_plain, _is_about_one)
        self._keyed = Batcher(self._accept_keyed, _is_about_one)
        self._statuses = Batcher(self._get_statuses)

    def accept(self, order: NewOrder, key: str | None) -> Acceptance:
        """Store the order, durably, before returning; or find that its `order_id` is taken.

        Raises:
            KeyReused: the key was used before with another payload.
            OutcomeUnknown: it is not known whether the order was stored.
            Overloaded: it was not stored, since the database has too much to do.
        """
        with self._writers.take(), self._places.take(), _unknown_outcomes():
            if key is None:
                return self._plain.submit(order)
            return self._keyed.submit((order, make_key(order, key)))

    def status(self, order_id: int) -> str | None:
        """Return the order's status, or None when there is no such order."""
        with self._places.take():
            return self._statuses.submit(order_id)

    def silent_for(self) -> float:
        """Return for how many seconds the database has not said whether orders that were sent to
        it are stored; 0 when none is on its way."""
        return max(self._plain.silent_for(), self._keyed.silent_for())

    def _get_statuses(self, order_ids: Sequence[int]) -> list[str | None]:
        found = self._database.statement(
            lambda connection: dao.get_statuses(connection, set(order_ids))
        )
        return [found.get(order_id) for order_id in order_ids]

    def _accept_plain(self, orders: Sequence[NewOrder]) -> list[Acceptance | Exception]:
        with _group_commit(orders):
            return self._accept(orders)

    def _accept_keyed(self, entries: Sequence[KeyedOrder]) -> list[Acceptance | Exception]:
        with _group_commit([order for order, _ in entries]):
            return self._keyed_orders.accept(entries)

    def _accept(self, orders: Sequence[NewOrder]) -> list[Acceptance | Exception]:
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
        started = time.monotonic()
        remaining = dict(new)
        while remaining:
            try:
                self._insert(remaining.values())
            except DuplicateOrder:
                refuse_after(started)
                for order_id in find_taken(self._database, remaining):
                    del remaining[order_id]
            else:
                break
        return set(remaining)

    def _insert(self, orders: Collection[NewOrder]) -> None:
        database = self._database
        several = dao.needs_transaction(orders, on_sqlite=database.on_sqlite)
        run = database.transaction if several else database.statement
        run(lambda connection: dao.insert_orders(connection, orders), alone=len(orders) == 1)


def _is_about_one(error: Exception) -> bool:
    """Return whether an error of a batch may be about one of its orders alone."""
    return is_conflict(error) or is_permanent(error)


def _group_commit(orders: Sequence[NewOrder]) -> AbstractContextManager[None]:
    if tracing.spans is None:
        return nullcontext()
    return tracing.spans.group_commit(order.traceparent for order in orders)


@contextmanager
def _unknown_outcomes() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_outcome_unknown(error):
            raise OutcomeUnknown("the database's answer was lost") from error
        raise
