"""SQL of the totals, which the transactions that finish orders keep."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, update

from service.storage.models import OrderTotals

_ADD_TOTALS = (
    update(OrderTotals)
    .where(OrderTotals.slot == bindparam("to_slot"))
    .values(
        completed=OrderTotals.completed + bindparam("more_completed"),
        failed=OrderTotals.failed + bindparam("more_failed"),
        processing_microseconds=OrderTotals.processing_microseconds + bindparam("more_time"),
    )
)


def add_totals(
    connection: Connection,
    *,
    slot: int,
    completed: int = 0,
    failed: int = 0,
    microseconds: int = 0,
) -> None:
    """Add finished orders to the totals' row `slot`.

    Raises:
        LookupError: there is no such row.
    """
    changed = connection.execute(
        _ADD_TOTALS,
        {
            "to_slot": slot,
            "more_completed": completed,
            "more_failed": failed,
            "more_time": microseconds,
        },
    ).rowcount
    if changed != 1:
        raise LookupError(f"the row {slot} of order_totals is missing; restore it with zeros")
