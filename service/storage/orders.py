"""SQL to insert and read orders."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, literal_column, select, update
from sqlalchemy.sql import ColumnElement

from service.storage.inserts import NewRows
from service.storage.models import BY_OUTCOME, BY_USER, Order, OrderStatus, OrderTotals
from service.storage.moments import utcnow

# So many item ids, of up to 21 bytes each, stay below the 1,024,000 bytes at which PyMySQL begins
# another statement (`pymysql.cursors.Cursor.max_stmt_length`).
ONE_STATEMENT_ITEMS = 40_000


class DuplicateOrder(Exception):
    """An order with this `order_id` exists already."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A valid order as the client sent it; `total_amount` has exactly two decimals."""

    order_id: int
    user_id: int
    item_ids: list[int]
    total_amount: Decimal


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

_FULL = select(
    Order.id,
    Order.order_id,
    Order.user_id,
    Order.item_ids,
    Order.total_amount,
    Order.status.label("status"),
    Order.attempts,
    Order.created_at,
    Order.updated_at,
    Order.processing_microseconds,
    Order.last_error,
)

_STATUS_FILTERS: dict[OrderStatus, tuple[ColumnElement[bool], ...]] = {
    OrderStatus.PENDING: (Order.outcome.is_(None), Order.lease_owner.is_(None)),
    OrderStatus.PROCESSING: (Order.outcome.is_(None), Order.lease_owner.is_not(None)),
    OrderStatus.COMPLETED: (Order.outcome == OrderStatus.COMPLETED.value,),
    OrderStatus.FAILED: (Order.outcome == OrderStatus.FAILED.value,),
}


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


def get_status(connection: Connection, order_id: int) -> str | None:
    """Return the order's status, or None when there is no such order."""
    return get_statuses(connection, [order_id]).get(order_id)


def get_order(connection: Connection, order_id: int) -> Row[*tuple[Any, ...]] | None:
    """Return the whole order, or None when there is no such order."""
    return connection.execute(_FULL.where(Order.order_id == order_id)).first()


def list_orders(
    connection: Connection,
    *,
    limit: int,
    status: OrderStatus | None = None,
    user_id: int | None = None,
    before: int | None = None,
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return at most `limit` whole orders, newest first.

    `before` is the `id` of the last row of the page before: only older rows are returned, found
    by the index, however far down the list they are.
    """
    query = _FULL.order_by(Order.id.desc()).limit(limit)
    if status is not None:
        query = query.where(*_STATUS_FILTERS[status])
    if user_id is not None:
        query = query.where(Order.user_id == user_id).with_hint(Order, BY_USER, "mysql")
    elif status is not None:
        query = query.with_hint(Order, BY_OUTCOME, "mysql")
    if before is not None:
        query = query.where(Order.id < before)
    return connection.execute(query).all()


def retry_failed(connection: Connection, order_id: int) -> bool:
    """Put a failed order back as Pending with all its attempts; return whether there was one.

    Needs a transaction: the totals change with the order.
    """
    changed = connection.execute(
        update(Order)
        .where(Order.order_id == order_id, Order.outcome == OrderStatus.FAILED.value)
        .values(outcome=None, attempts=0, available_at=utcnow(), updated_at=utcnow())
    ).rowcount
    if changed:
        connection.execute(
            update(OrderTotals).where(OrderTotals.slot == 0).values(failed=OrderTotals.failed - 1)
        )
    return bool(changed)
