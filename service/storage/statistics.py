"""SQL that counts orders. Its cost grows with the orders that are due or in work only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select, true

from service.storage.models import BY_CLAIMABLE, Order, OrderTotals
from service.storage.moments import MICROSECONDS, utcnow


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts by status at one moment, and how long completed orders took.

    `waiting` of the pending orders wait for a later attempt, and `oldest_due_seconds` is since when
    the longest due of the others could have been claimed.
    """

    pending: int
    waiting: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    processing_microseconds: int
    oldest_due_seconds: float

    @property
    def total(self) -> int:
        """All orders."""
        finished = self.completed + self.failed + self.cancelled
        return self.pending + self.processing + finished

    @property
    def average_processing_seconds(self) -> float:
        """Mean processing time of the completed orders; 0.0 when there are none."""
        if not self.completed:
            return 0.0
        return round(self.processing_microseconds / self.completed / MICROSECONDS, 6)


_claimable = (
    select(
        func.count().label("orders"),
        func.count(Order.lease_owner).label("processing"),
        func.min(case((Order.lease_owner.is_(None), Order.available_at))).label("oldest"),
    )
    .with_hint(Order, BY_CLAIMABLE, "mysql")
    .where(Order.outcome.is_(None), Order.next_attempt_at.is_(None))
    .subquery("claimable")
)
# What nobody has made claimable yet, though it is due.
_overdue = (
    select(func.min(Order.next_attempt_at))
    .with_hint(Order, BY_CLAIMABLE, "mysql")
    .where(
        Order.outcome.is_(None),
        Order.next_attempt_at.is_not(None),
        Order.next_attempt_at <= utcnow(),
    )
    .scalar_subquery()
)
_totals = select(
    *(
        func.coalesce(func.sum(getattr(OrderTotals, name)), 0).label(name)
        for name in ("completed", "failed", "cancelled", "waiting", "processing_microseconds")
    )
).subquery("totals")
# One statement, so one consistent snapshot, on MySQL at READ COMMITTED too.
_STATISTICS = select(
    _claimable, _totals, _overdue.label("oldest_waiting"), utcnow().label("now")
).select_from(_claimable.join(_totals, true()))


def read_statistics(connection: Connection) -> Statistics:
    """Count all orders in one consistent snapshot."""
    row = connection.execute(_STATISTICS).one()
    due = [moment for moment in (row.oldest, row.oldest_waiting) if moment]
    age = (row.now - min(due)).total_seconds() if due else 0.0
    waiting = int(row.waiting)
    return Statistics(
        pending=row.orders - row.processing + waiting,
        waiting=waiting,
        processing=row.processing,
        completed=int(row.completed),
        failed=int(row.failed),
        cancelled=int(row.cancelled),
        processing_microseconds=int(row.processing_microseconds),
        oldest_due_seconds=max(0.0, age),
    )
