"""SQL for claims whose worker died: what is kept of the attempt, and the end after the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, update

from service.storage.attempts import AttemptResult, EndedAttempt
from service.storage.models import Order, OrderStatus
from service.storage.moments import MICROSECONDS, utcnow
from service.storage.outbox import write_events
from service.storage.totals import add_totals

LOST_ERROR = "its worker died or lost its lease"


def lost_attempt(row: Row[*tuple[Any, ...]]) -> EndedAttempt:
    """Return the attempt that an order's last worker lost."""
    seconds = row.held / MICROSECONDS
    return EndedAttempt(
        row.id, row.attempts, seconds, AttemptResult.LOST, LOST_ERROR, row.lease_owner
    )


def fail_exhausted(
    connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]], fences: int
) -> None:
    """End orders that have no attempt left as Failed."""
    if not rows:
        return
    for row in rows:
        died = f"{LOST_ERROR} during the last attempt"
        # Without an owner it failed in an attempt that was the last only since the limit changed.
        error = row.last_error if row.lease_owner is None else died
        connection.execute(
            update(Order)
            .where(Order.id == row.id)
            .values(
                outcome=OrderStatus.FAILED.value,
                lease_owner=None,
                fence=fences + row.id,
                updated_at=utcnow(),
                last_error=error,
            )
        )
    write_events(connection, [row.id for row in rows])
    add_totals(connection, slot=0, failed=len(rows))
