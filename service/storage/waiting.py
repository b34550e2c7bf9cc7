"""SQL of the orders that wait for a later attempt.

They have a `next_attempt_at`, and so lie apart from the claimable ones in `ix_orders_claimable`.
For a release that does not know that column they are not due for thousands of years (`NEVER`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Float, Integer, Select, bindparam, literal, select, update

from service.storage.models import BY_CLAIMABLE, BY_PRIMARY, Order
from service.storage.moments import utcnow
from service.storage.totals import add_totals

NEVER = datetime(9999, 12, 31)  # noqa: DTZ001 - as the database has it
# A moment this many seconds ahead of the database's clock was written before that was set back.
CLOCK_TOLERANCE = 1.0

_waiting = (
    select(Order.id)
    .with_hint(Order, BY_CLAIMABLE, "mysql")
    .where(Order.outcome.is_(None), Order.next_attempt_at.is_not(None))
)
_FROM_BEFORE_A_JUMP = _waiting.where(
    Order.updated_at > utcnow(literal(CLOCK_TOLERANCE, Float))
).limit(bindparam("limit", type_=Integer))
_COME_BACK = (
    update(Order)
    .where(
        Order.id.in_(bindparam("ids", expanding=True)),
        Order.outcome.is_(None),
        Order.next_attempt_at.is_not(None),
    )
    .with_hint(BY_PRIMARY, dialect_name="mysql")
    # MySQL assigns from left to right. The age of the queue counts from when the order is due.
    .ordered_values(
        (Order.available_at, Order.next_attempt_at),
        (Order.next_attempt_at, None),
        (Order.updated_at, utcnow()),
    )
)


def due() -> Select[int]:
    """Select the orders whose next attempt is due."""
    return _waiting.where(Order.next_attempt_at <= utcnow())


_DUE = due().order_by(Order.next_attempt_at).limit(bindparam("limit", type_=Integer))


def waiting_values(seconds: float) -> dict[str, Any]:
    """Return the columns of an order that waits for its next attempt for so many seconds."""
    return {"next_attempt_at": utcnow(literal(seconds, Float)), "available_at": NEVER}


def find_due(connection: Connection, limit: int) -> list[int]:
    """Return the `id`s of at most `limit` orders whose next attempt is due, longest due first."""
    return list(connection.execute(_DUE, {"limit": limit}).scalars())


def find_from_before_a_jump(connection: Connection, limit: int) -> list[int]:
    """Return the `id`s of at most `limit` orders that wait since a moment which is still to come.

    The clock was set back since then, so nobody knows when they are due. It reads all that wait.
    """
    return list(connection.execute(_FROM_BEFORE_A_JUMP, {"limit": limit}).scalars())


def come_back(connection: Connection, ids: list[int], slot: int) -> int:
    """Make waiting orders claimable; return how many were still waiting. Needs a transaction."""
    changed = connection.execute(_COME_BACK, {"ids": sorted(ids)}).rowcount
    if changed:
        add_totals(connection, slot=slot, waiting=-changed)
    return changed
