"""SQL of the console's lists of orders.

Each statement walks an index for a bounded number of rows, whatever the filter asks for: what the
index does not decide is looked at in a window of `LOOKED_AT` orders, and the next page goes on
where that ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from service.storage.models import BY_CLAIMABLE, BY_OUTCOME, BY_PRIMARY, BY_USER, Order, OrderStatus
from service.storage.orders import creation_bounds

LARGEST_ROW = 2**63 - 1
# Rows of one page, and orders that are looked at for it.
PAGE, LOOKED_AT = 50, 1000
# Of the failed orders by error.
NEWEST_FAILED, MOST_GROUPS, ERROR_PART = 1000, 50, 200
# Claimable orders among which those in work are looked for: these are among the oldest.
OLDEST_CLAIMABLE = 2000

_LISTED = (
    Order.id,
    Order.order_id,
    Order.user_id,
    Order.total_amount,
    Order.status.label("status"),
    Order.attempts,
    Order.created_at,
    Order.updated_at,
    Order.next_attempt_at,
    Order.lease_owner,
    Order.last_error,
)
_DETAILS = select(
    *_LISTED,
    Order.item_ids,
    Order.processing_microseconds,
    Order.available_at,
    Order.key_version,
    Order.client,
    Order.traceparent,
)


@dataclass(frozen=True, slots=True)
class Search:
    """Which orders are looked for; None asks for nothing."""

    status: OrderStatus | None = None
    user_id: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of orders, newest first.

    `older` and `newer` are where the list goes on: rows, or None at an end. `looked_at` is how many
    orders were looked at when these did not fill the page, else None.
    """

    orders: Sequence[Row[*tuple[Any, ...]]]
    older: int | None = None
    newer: int | None = None
    looked_at: int | None = None


def get_details(connection: Connection, order_id: int) -> Row[*tuple[Any, ...]] | None:
    """Return all that is stored of the order itself, or None when there is no such order."""
    return connection.execute(_DETAILS.where(Order.order_id == order_id)).first()


def find_orders(
    connection: Connection,
    search: Search,
    *,
    before: int | None = None,
    after: int | None = None,
) -> Page:
    """Return a page of the orders: those before the row `before`, those after `after`, or the
    newest."""
    conditions = _conditions(search)
    if search.status is OrderStatus.PROCESSING and search.user_id is None:
        return Page(orders_in_work(connection, conditions))
    newest_first = after is None
    window = _window(connection, search, before, after)
    window = window.order_by(Order.id.desc() if newest_first else Order.id)
    size = LOOKED_AT if conditions else PAGE + 1
    ids = list(connection.execute(window.limit(size)).scalars())
    found = list(_matching(connection, ids, conditions, newest_first=newest_first))
    full = len(found) > PAGE
    orders = found[:PAGE]
    looked_at = None if full or not conditions else len(ids)
    # Where this direction goes on; None at its end.
    further = orders[-1].id if full else ids[-1] if len(ids) == size and ids else None
    if newest_first:
        back = None if before is None else (orders[0].id if orders else before - 1)
        return Page(orders, older=further, newer=back, looked_at=looked_at)
    back = orders[0].id if orders else min((after or 0) + 1, LARGEST_ROW)
    return Page(orders[::-1], older=back, newer=further, looked_at=looked_at)


def orders_in_work(
    connection: Connection, conditions: Sequence[ColumnElement[bool]] = ()
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the orders on which somebody works, newest first, of the oldest claimable ones.

    `conditions` are what is asked for besides.
    """
    oldest = (
        select(Order.id)
        .with_hint(Order, BY_CLAIMABLE, "mysql")
        .where(Order.outcome.is_(None), Order.next_attempt_at.is_(None))
        .order_by(Order.id)
        .limit(OLDEST_CLAIMABLE)
        .subquery()
    )
    query = (
        select(*_LISTED)
        .join(oldest, oldest.c.id == Order.id)
        .where(Order.lease_owner.is_not(None), Order.outcome.is_(None), *conditions)
        .order_by(Order.id.desc())
    )
    return connection.execute(query).all()


def failed_by_error(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the newest failed orders by the beginning of their error, most frequent first.

    The columns are `error` (None where there is none), `orders`, `order_id` (the greatest),
    `first_at` and `last_at`.
    """
    newest = (
        select(
            Order.order_id,
            func.substr(Order.last_error, 1, ERROR_PART).label("error"),
            Order.updated_at,
        )
        .with_hint(Order, BY_OUTCOME, "mysql")
        .where(Order.outcome == OrderStatus.FAILED.value)
        .order_by(Order.id.desc())
        .limit(NEWEST_FAILED)
        .subquery()
    )
    number = func.count()
    query = (
        select(
            newest.c.error,
            number.label("orders"),
            func.max(newest.c.order_id).label("order_id"),
            func.min(newest.c.updated_at).label("first_at"),
            func.max(newest.c.updated_at).label("last_at"),
        )
        .group_by(newest.c.error)
        .order_by(number.desc(), func.max(newest.c.updated_at).desc())
        .limit(MOST_GROUPS)
    )
    return connection.execute(query).all()


def _window(
    connection: Connection, search: Search, before: int | None, after: int | None
) -> Select[int]:
    query = select(Order.id)
    if search.user_id is not None:
        query = query.with_hint(Order, BY_USER, "mysql").where(Order.user_id == search.user_id)
    elif search.status is not None:
        finished = search.status not in (OrderStatus.PENDING, OrderStatus.PROCESSING)
        outcome = search.status.value if finished else None
        query = query.with_hint(Order, BY_OUTCOME, "mysql").where(
            Order.outcome == outcome if finished else Order.outcome.is_(None)
        )
    else:
        query = query.with_hint(Order, BY_PRIMARY, "mysql")
    first, end = creation_bounds(connection, search.created_from, search.created_to)
    if first is not None:
        query = query.where(Order.id >= first)
    if after is not None:
        query = query.where(Order.id > after)
    for bound in (end, before):
        query = query if bound is None else query.where(Order.id < bound)
    return query


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    """Return what the index does not decide."""
    conditions: list[ColumnElement[bool]] = []
    unfinished = search.status in (OrderStatus.PENDING, OrderStatus.PROCESSING)
    if search.status is not None and (unfinished or search.user_id is not None):
        conditions.append(Order.status == search.status.value)
    if search.created_from is not None:
        conditions.append(Order.created_at >= search.created_from)
    if search.created_to is not None:
        conditions.append(Order.created_at < search.created_to)
    if search.error is not None:
        conditions.append(func.instr(Order.last_error, search.error) > 0)
    return conditions


def _matching(
    connection: Connection,
    ids: Sequence[int],
    conditions: Sequence[ColumnElement[bool]],
    *,
    newest_first: bool,
) -> Sequence[Row[*tuple[Any, ...]]]:
    if not ids:
        return []
    query = (
        select(*_LISTED)
        .with_hint(Order, BY_PRIMARY, "mysql")
        .where(Order.id.in_(ids), *conditions)
        .order_by(Order.id.desc() if newest_first else Order.id)
        .limit(PAGE + 1)
    )
    return connection.execute(query).all()
