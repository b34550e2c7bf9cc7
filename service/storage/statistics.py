"""SQL that counts orders. Its cost grows with the unfinished orders only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select, true

from service.storage.models import BY_OUTCOME, Order, OrderTotals
from service.storage.moments import utcnow

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts by status at one moment, and how long completed orders took."""

    pending: int
    processing: int
    completed: int
    failed: int
    processing_microseconds: int
    oldest_pending_seconds: float

    @property
    def total(self) -> int:
        """All orders."""
        return self.pending + self.processing + self.completed + self.failed

    @property
    def average_processing_seconds(self) -> float:
        """Mean processing time of the completed orders; 0.0 when there are none."""
        if not self.completed:
            return 0.0
        return round(self.processing_microseconds / self.completed / MICROSECONDS, 6)


_unfinished = (
    select(
        func.count().label("orders"),
        func.count(Order.lease_owner).label("processing"),
        func.min(case((Order.lease_owner.is_(None), Order.created_at))).label("oldest_pending"),
    )
    .with_hint(Order, BY_OUTCOME, "mysql")
    .where(Order.outcome.is_(None))
    .subquery("unfinished")
)
_finished = select(
    func.coalesce(func.sum(OrderTotals.completed), 0).label("completed"),
    func.coalesce(func.sum(OrderTotals.failed), 0).label("failed"),
    func.coalesce(func.sum(OrderTotals.processing_microseconds), 0).label("microseconds"),
).subquery("finished")
# One statement, so one consistent snapshot, on MySQL at READ COMMITTED too.
_STATISTICS = select(_unfinished, _finished, utcnow().label("now")).select_from(
    _unfinished.join(_finished, true())
)


def read_statistics(connection: Connection) -> Statistics:
    """Count all orders in one consistent snapshot."""
    row = connection.execute(_STATISTICS).one()
    age = (row.now - row.oldest_pending).total_seconds() if row.oldest_pending else 0.0
    return Statistics(
        pending=row.orders - row.processing,
        processing=row.processing,
        completed=int(row.completed),
        failed=int(row.failed),
        processing_microseconds=int(row.microseconds),
        oldest_pending_seconds=max(0.0, age),
    )
