"""SQL that counts orders. Its cost grows with the orders that are due or in work, at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    Subquery,
    bindparam,
    case,
    func,
    select,
    true,
)

from service.storage.models import BY_CLAIMABLE, Order, OrderTotals
from service.storage.moments import MICROSECONDS, utcnow


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts by status at one moment, and how long completed orders took.

    `waiting` of the pending orders wait for a later attempt, and `oldest_due_seconds` is since when
    the longest due of the others could have been claimed. `capped` says that only the oldest orders
    were counted: there are at least so many pending, and not all in work may be among them.
    """

    pending: int
    waiting: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    processing_microseconds: int
    oldest_due_seconds: float
    capped: bool = False

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
_oldest = (
    select(Order.lease_owner, Order.available_at)
    .with_hint(Order, BY_CLAIMABLE, "mysql")
    .where(Order.outcome.is_(None), Order.next_attempt_at.is_(None))
    .order_by(Order.id)
    .limit(bindparam("at_most", type_=Integer))
    .subquery("oldest")
)
_claimable_at_a_glance = select(
    func.count().label("orders"),
    func.count(_oldest.c.lease_owner).label("processing"),
    func.min(case((_oldest.c.lease_owner.is_(None), _oldest.c.available_at))).label("oldest"),
).subquery("claimable")
# What nobody has made claimable yet, though it is due.
_overdue = (
    select(Order.next_attempt_at)
    .with_hint(Order, BY_CLAIMABLE, "mysql")
    .where(
        Order.outcome.is_(None),
        Order.next_attempt_at.is_not(None),
        Order.next_attempt_at <= utcnow(),
    )
    .order_by(Order.next_attempt_at)
    .limit(1)
    .scalar_subquery()
)
_totals = select(
    *(
        func.coalesce(func.sum(getattr(OrderTotals, name)), 0).label(name)
        for name in ("completed", "failed", "cancelled", "waiting", "processing_microseconds")
    )
).subquery("totals")


def _statement(claimable: Subquery) -> Select[*tuple[Any, ...]]:
    # One, so one consistent snapshot, on MySQL at READ COMMITTED too.
    return select(
        claimable, _totals, _overdue.label("oldest_waiting"), utcnow().label("now")
    ).select_from(claimable.join(_totals, true()))


_STATISTICS = _statement(_claimable)
_GLANCE = _statement(_claimable_at_a_glance)


def read_statistics(connection: Connection) -> Statistics:
    """Count all orders in one consistent snapshot."""
    return _statistics_of(connection.execute(_STATISTICS).one(), capped=False)


def glance(connection: Connection, at_most: int) -> Statistics:
    """Do the same at a bounded cost: of those that are due or in work, `at_most` so many, the
    oldest, are counted."""
    row = connection.execute(_GLANCE, {"at_most": at_most}).one()
    return _statistics_of(row, capped=row.orders >= at_most)


def _statistics_of(row: Row[*tuple[Any, ...]], *, capped: bool) -> Statistics:
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
        capped=capped,
    )
