"""SQL to insert and read orders."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal_column, select

from service.storage.inserts import NewRows
from service.storage.models import BY_PRIMARY, Order
from service.storage.moments import utcnow

# So many item ids, of up to 21 bytes each, stay below the 1,024,000 bytes at which PyMySQL begins
# another statement (`pymysql.cursors.Cursor.max_stmt_length`).
ONE_STATEMENT_ITEMS = 40_000


class DuplicateOrder(Exception):
    """An order with this `order_id` exists already."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A valid order as the client sent it; `total_amount` has exactly two decimals.

    `client` posted it, and `traceparent` is the trace in which it did, if there is one.
    """

    order_id: int
    user_id: int
    item_ids: list[int]
    total_amount: Decimal
    client: str | None = None
    traceparent: str | None = None


_NEW_ORDERS = NewRows(
    statements={
        "mysql": insert(Order),
        "sqlite": insert(Order).values(
            attempts=literal_column("0"),
            fence=literal_column("0"),
            available_at=utcnow(),
            created_at=utcnow(),
            updated_at=utcnow(),
        ),
    },
    key="uq_orders_order_id",
    column="orders.order_id",
    taken=DuplicateOrder,
)

_STATUSES = select(Order.order_id, Order.status.label("status")).where(
    Order.order_id.in_(bindparam("order_ids", expanding=True))
)

FULL = select(
    Order.id,
    Order.order_id,
    Order.user_id,
    Order.item_ids,
    Order.total_amount,
    Order.status.label("status"),
    Order.attempts,
    Order.created_at,
    Order.updated_at,
    Order.next_attempt_at,
    Order.processing_microseconds,
    Order.last_error,
    Order.client,
)

_FROM_ROW = (
    select(Order.id, Order.created_at)
    .with_hint(Order, BY_PRIMARY, "mysql")
    .where(Order.id >= bindparam("row_id"))
    .order_by(Order.id)
    .limit(1)
)

# How much later than an older row one may say that it was created: it waited for its commit.
LATEST_COMMIT = timedelta(seconds=60)


def needs_transaction(orders: Collection[NewOrder], *, on_sqlite: bool) -> bool:
    """Return whether `insert_orders` takes more than one statement for so many orders."""
    if on_sqlite:
        return len(orders) > 1
    return sum(len(order.item_ids) for order in orders) > ONE_STATEMENT_ITEMS


def insert_orders(connection: Connection, orders: Collection[NewOrder]) -> None:
    """Store new orders as Pending, all or none. The unique key decides whether they are new.

    They are stored by ascending `order_id`, so that two such statements which have orders in
    common wait for each other, and never in a circle. Where it `needs_transaction`, all or none
    holds in one only.

    Raises:
        DuplicateOrder: the `order_id` of one of them is taken; nothing was stored.
    """
    rows = [
        {
            "order_id": order.order_id,
            "user_id": order.user_id,
            "item_ids": order.item_ids,
            "total_amount": order.total_amount,
            "client": order.client,
            "traceparent": order.traceparent,
        }
        for order in sorted(orders, key=attrgetter("order_id"))
    ]
    _NEW_ORDERS.insert(connection, rows)


def get_statuses(connection: Connection, order_ids: Collection[int]) -> dict[int, str]:
    """Return the status of each of these orders that there is."""
    rows = connection.execute(_STATUSES, {"order_ids": list(order_ids)})
    return {row.order_id: row.status for row in rows}


def find_taken(connection: Connection, order_ids: Collection[int]) -> set[int]:
    """Return which of these `order_id`s are stored already."""
    return set(get_statuses(connection, order_ids))


def get_order(connection: Connection, order_id: int) -> Row[*tuple[Any, ...]] | None:
    """Return the whole order, or None when there is no such order."""
    return connection.execute(FULL.where(Order.order_id == order_id)).first()


def creation_bounds(
    connection: Connection, created_from: datetime | None, created_to: datetime | None
) -> tuple[int | None, int | None]:
    """Return the first row of those that may have been created in that time, and the one after the
    last; None where no moment is given. Some of the rows between may be of another time."""
    first = end = None
    if created_from is not None:
        first = first_row_since(connection, _moved(created_from, -LATEST_COMMIT))
    if created_to is not None:
        end = first_row_since(connection, _moved(created_to, LATEST_COMMIT))
    return first, end


def _moved(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:  # no order is as old or as new as that
        return moment


def first_row_since(connection: Connection, moment: datetime) -> int:
    """Return the `id` of the first row that was created at that moment or later, or one above all.

    A binary search by the primary key, as rows are created in its order.
    """
    ends = connection.execute(select(func.min(Order.id), func.max(Order.id))).one()
    low, high = ends[0] or 0, (ends[1] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(_FROM_ROW, {"row_id": middle}).first()
        if row is None or row.created_at >= moment:
            high = middle
        else:
            low = row.id + 1
    return low
