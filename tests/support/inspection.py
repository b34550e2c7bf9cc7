"""What is stored, read from the database itself, past the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select, text, update

from service.storage import orders
from service.storage.models import (
    AuditEntry,
    Client,
    Event,
    IdempotencyKey,
    Operation,
    Order,
    OrderAttempt,
    OrderTotals,
    ProcessingState,
    ProcessorRow,
    Sample,
)
from service.storage.moments import utcnow
from service.storage.statistics import Statistics, read_statistics
from service.storage.totals import COUNTS
from tests.support.databases import open_database
from tests.support.polling import wait_until

T = TypeVar("T")


def insert_orders(connection: Connection, ids: Sequence[int], user_id: int) -> None:
    """Store pending orders, in that order."""
    row = {
        "user_id": user_id,
        "item_ids": [1],
        "total_amount": Decimal(1),
        "attempts": 0,
        "fence": 0,
        "key_version": 0,
    }
    now = {name: utcnow() for name in ("available_at", "created_at", "updated_at")}
    rows = [row | {"order_id": number} for number in ids]
    connection.execute(insert(Order).values(**now), rows)


class Store:
    """A direct connection to the database under test."""

    def __init__(self, url: str) -> None:
        self.database = open_database(url, 2)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run work in one transaction."""
        return self.database.transaction(work)

    def empty(self) -> None:
        """Remove all orders and clients, and set the totals to zero."""
        zeros = dict.fromkeys(COUNTS, 0)
        tables = (
            *(Order, IdempotencyKey, OrderAttempt, Operation, ProcessingState, ProcessorRow, Event),
            *(Client, AuditEntry, Sample),
        )
        statements = [*map(delete, tables), update(OrderTotals).values(zeros)]

        def work(connection: Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        self.run(work)

    def add_orders(self, ids: Sequence[int], user_id: int = 1) -> None:
        """Store pending orders, in that order."""
        self.run(lambda connection: insert_orders(connection, ids, user_id))

    def statuses(self) -> dict[int, str]:
        """Return the status of each order by its order_id."""
        query = select(Order.order_id, Order.status.label("status"))
        return {row.order_id: row.status for row in self.run(lambda c: c.execute(query).all())}

    def order(self, order_id: int) -> Order:
        """Return one order's row."""
        row = self.run(lambda connection: orders.get_order(connection, order_id))
        assert row is not None, f"order {order_id} is not stored"
        return row  # type: ignore[return-value] # it has the model's attributes

    def attempts(self) -> Counter[int]:
        """Return how many orders had how many attempts."""
        rows = self.run(lambda c: c.execute(text("SELECT attempts FROM orders")).scalars().all())
        return Counter(rows)

    def statistics(self) -> Statistics:
        """Return the counted totals, which each completion adds to once."""
        return self.run(read_statistics)

    def wait_finished(self, seconds: float) -> None:
        """Wait until no order is unfinished."""

        def finished() -> bool:
            figures = self.statistics()
            return figures.pending + figures.processing == 0

        wait_until(finished, seconds, "the end of all orders", every=0.1)

    def assert_all_completed_once(self, accepted: set[int]) -> None:
        """Check that each accepted order is stored and completed, with one completion each."""
        statuses = self.statuses()
        assert accepted <= set(statuses), f"lost: {sorted(accepted - set(statuses))[:10]}"
        assert set(statuses.values()) == {"Completed"}
        completed = self.statistics().completed
        assert completed == len(statuses), f"{completed} completions of {len(statuses)} orders"


@contextmanager
def open_store(url: str) -> Iterator[Store]:
    """Open a store and close its connections at the end."""
    store = Store(url)
    try:
        yield store
    finally:
        store.database.engine.dispose()
