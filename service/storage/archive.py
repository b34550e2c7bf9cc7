"""SQL of the archive: read finished orders, and take them out of the tables.

The totals keep counting them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, Float, RowMapping, delete, literal, select

from service.storage.attempts import delete_attempts
from service.storage.models import BY_PRIMARY, Order, OrderAttempt
from service.storage.moments import utcnow


def moment_before(connection: Connection, seconds: float) -> datetime:
    """Return the moment so many seconds ago, by the database's clock."""
    moment: datetime = connection.execute(
        select(utcnow(literal(-seconds, Float)).label("then"))
    ).scalar_one()
    return moment


def next_rows(
    connection: Connection, after: int, before: datetime, limit: int
) -> tuple[list[int], int | None]:
    """Look at the next `limit` orders after the row `after`.

    Returns:
        The `id`s of those that were finished before that moment, and the last row that was looked
        at; None when there are none after it that were accepted before that moment.
    """
    page = (
        select(Order.id, Order.outcome, Order.created_at, Order.updated_at)
        .with_hint(Order, BY_PRIMARY, "mysql")
        .where(Order.id > after)
        .order_by(Order.id)
        .limit(limit)
    )
    rows = connection.execute(page).all()
    if all(row.created_at >= before for row in rows):
        return [], None
    finished = [row.id for row in rows if row.outcome is not None and row.updated_at < before]
    return finished, rows[-1].id


def lock_finished(
    connection: Connection, row_ids: Collection[int], before: datetime
) -> Sequence[RowMapping]:
    """Lock those of these orders that are still finished, and return them. Needs a transaction."""
    query = (
        select(Order.__table__)
        .with_hint(Order.__table__, BY_PRIMARY, "mysql")
        .where(Order.id.in_(sorted(row_ids)), Order.outcome.is_not(None), Order.updated_at < before)
        .order_by(Order.id)
        .with_for_update()
    )
    return connection.execute(query).mappings().all()


def list_attempts_at(
    connection: Connection, row_ids: Collection[int]
) -> dict[int, list[RowMapping]]:
    """Return the attempts at these orders that did not complete them, by the orders' rows."""
    query = (
        select(OrderAttempt)
        .where(OrderAttempt.order_row.in_(row_ids))
        .order_by(OrderAttempt.order_row, OrderAttempt.id)
    )
    found: dict[int, list[RowMapping]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["order_row"], []).append(row)
    return found


def delete_orders(connection: Connection, row_ids: Collection[int]) -> None:
    """Delete these orders and what is known of their attempts. Needs a transaction."""
    delete_attempts(connection, row_ids)
    connection.execute(delete(Order).where(Order.id.in_(sorted(row_ids))))


def find_stored(connection: Connection, row_ids: Collection[int]) -> dict[int, datetime]:
    """Return which of these orders are in the table, and when each last changed.

    Locks them. Needs a transaction.
    """
    query = (
        select(Order.id, Order.updated_at)
        .with_hint(Order, BY_PRIMARY, "mysql")
        .where(Order.id.in_(sorted(row_ids)))
        .order_by(Order.id)
        .with_for_update()
    )
    return {row.id: row.updated_at for row in connection.execute(query)}
