"""SQL of the totals, which the transactions that finish orders, or have them wait, keep."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Update, bindparam, insert, update

from service.storage.models import OrderTotals

log = logging.getLogger(__name__)

COMPLETED_COUNTS = ("completed", "processing_microseconds")
COUNTS = (*COMPLETED_COUNTS, "failed", "cancelled", "waiting")


def _addition(*counts: str) -> Update:
    return (
        update(OrderTotals)
        .where(OrderTotals.slot == bindparam("to_slot"))
        .values({name: getattr(OrderTotals, name) + bindparam(f"more_{name}") for name in counts})
    )


_ADD_ALL = _addition(*COUNTS)
# The usual case, many times a second.
_ADD_COMPLETED = _addition(*COMPLETED_COUNTS)


def add_totals(
    connection: Connection,
    *,
    slot: int,
    completed: int = 0,
    failed: int = 0,
    cancelled: int = 0,
    waiting: int = 0,
    processing_microseconds: int = 0,
) -> None:
    """Add to the totals' row `slot`; figures below zero take away. Needs a transaction.

    A row that is lost, as after a partial restore, is made anew: its former figures are gone, but
    no order fails for that.
    """
    more = {
        "completed": completed,
        "failed": failed,
        "cancelled": cancelled,
        "waiting": waiting,
        "processing_microseconds": processing_microseconds,
    }
    several = failed or cancelled or waiting
    statement = _ADD_ALL if several else _ADD_COMPLETED
    names = COUNTS if several else COMPLETED_COUNTS
    parameters = {"to_slot": slot} | {f"more_{name}": more[name] for name in names}
    if connection.execute(statement, parameters).rowcount != 1:
        _restore(connection, slot)
        connection.execute(statement, parameters)


def _restore(connection: Connection, slot: int) -> None:
    log.error("the row %d of order_totals is missing: it is made anew, with zeros", slot)
    connection.execute(
        insert(OrderTotals)
        .prefix_with("IGNORE", dialect="mysql")
        .prefix_with("OR IGNORE", dialect="sqlite")
        .values(slot=slot, **dict.fromkeys(COUNTS, 0))
    )
