"""SQL of the claims: claim orders, and renew their leases.

Claims go through `ix_orders_outcome` in the order of arrival and skip what other processes have
locked. Everything else locks its rows by primary key, in ascending order, before the totals; so
no two transactions wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Row,
    Select,
    bindparam,
    literal,
    select,
    update,
)

from service.storage.models import BY_OUTCOME, BY_PRIMARY, Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.totals import add_totals

# From this attempt on, an order whose workers died is only run alone: see `claim_orders`.
ISOLATED_FROM_ATTEMPT = 3

# How many times as many orders are looked at as are to be claimed: other processes claim, too.
CANDIDATES = 4
# How many times as many again, when all of those were locked.
MORE_CANDIDATES = 8

ClaimKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process an order until its lease ends; `fence` proves it.

    `attempt` counts from 1, this attempt included.
    """

    id: int
    fence: int
    attempt: int
    order_id: int
    user_id: int
    item_ids: list[int]
    total_amount: Decimal
    created_at: datetime

    @property
    def key(self) -> ClaimKey:
        """What tells this claim from every other, earlier ones of the same order included."""
        return self.id, self.fence


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """What one look at the queue gave.

    `exhausted` are the `order_id`s that had no attempt left and are Failed now. `isolate` tells
    that the next order has to run alone, so that nothing may be claimed before the process is
    idle.
    """

    claims: list[Claim]
    exhausted: list[int]
    isolate: bool = False


def claimable() -> Select[int, int, int]:
    """Select the orders that may be claimed now, fresh and abandoned alike, oldest first."""
    return (
        select(Order.id, Order.fence, Order.attempts)
        .with_hint(Order, BY_OUTCOME, "mysql")
        .where(Order.outcome.is_(None), Order.available_at <= utcnow())
        .order_by(Order.id)
    )


# Made once: to put a statement together costs more than to send it.
#
# The index is only read, without locks, and what it names is locked through the primary key. A
# locking read of the index would hold the entries of the orders that are under way as well, and
# with them the transactions that complete those. What another process has locked, or has taken
# since the index was read, is passed by; so more is read than taken.
_candidates = (
    claimable().with_only_columns(Order.id).limit(bindparam("candidates", type_=Integer)).subquery()
)
_HAS_MORE = (
    claimable().with_only_columns(Order.id).limit(1).offset(bindparam("candidates", type_=Integer))
)
LOCK_CLAIMABLE = (
    select(
        Order.id,
        Order.fence,
        Order.attempts,
        Order.lease_owner,
        Order.last_error,
        Order.order_id,
        Order.user_id,
        Order.item_ids,
        Order.total_amount,
        Order.created_at,
    )
    .prefix_with("STRAIGHT_JOIN", dialect="mysql")
    # Where the statistics say that the table is small, MySQL would read, and lock, all of it.
    .with_hint(Order, BY_PRIMARY, "mysql")
    .select_from(_candidates.join(Order, Order.id == _candidates.c.id))
    .where(Order.outcome.is_(None), Order.available_at <= utcnow())
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(of=Order, skip_locked=True)
)
_LEASE = (
    update(Order)
    .where(Order.id.in_(bindparam("ids", expanding=True)))
    .values(
        lease_owner=bindparam("owner"),
        fence=Order.fence + 1,
        attempts=Order.attempts + 1,
        available_at=utcnow(bindparam("lease_seconds", type_=Float)),
        updated_at=utcnow(),
    )
)


def has_claimable(connection: Connection) -> bool:
    """Return whether there is an order to claim, without locking anything."""
    return connection.execute(claimable().limit(1)).first() is not None


def claim_orders(
    connection: Connection,
    *,
    owner: str,
    limit: int,
    lease_seconds: float,
    max_attempts: int,
    idle: bool,
) -> ClaimedBatch:
    """Claim up to `limit` orders for `owner`. Needs a transaction.

    An order that was claimed before and not given back has lost its worker. When that happened
    twice, the order may be what kills the workers, so it is claimed only when the process is
    `idle`, and alone: otherwise it would cost the orders beside it their attempts as well.
    """
    rows = _lock_claimable(connection, limit)
    spent = [row for row in rows if row.attempts >= max_attempts]
    _fail_exhausted(connection, spent)
    rows, isolate = _isolate([row for row in rows if row.attempts < max_attempts], idle=idle)
    if rows:
        ids = [row.id for row in rows]
        connection.execute(_LEASE, {"ids": ids, "owner": owner, "lease_seconds": lease_seconds})
    claims = [
        Claim(
            id=row.id,
            fence=row.fence + 1,
            attempt=row.attempts + 1,
            order_id=row.order_id,
            user_id=row.user_id,
            item_ids=row.item_ids,
            total_amount=row.total_amount,
            created_at=row.created_at,
        )
        for row in rows
    ]
    return ClaimedBatch(claims, [row.order_id for row in spent], isolate)


def _lock_claimable(connection: Connection, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Lock the oldest claimable orders that nobody else has locked, however many others have."""
    if not limit:
        return []
    candidates = limit * CANDIDATES
    while True:
        found = connection.execute(LOCK_CLAIMABLE, {"limit": limit, "candidates": candidates}).all()
        if found or connection.execute(_HAS_MORE, {"candidates": candidates}).first() is None:
            return sorted(found, key=attrgetter("id"))
        candidates *= MORE_CANDIDATES


def _isolate(
    rows: Sequence[Row[*tuple[Any, ...]]], *, idle: bool
) -> tuple[Sequence[Row[Any]], bool]:
    for position, row in enumerate(rows):
        if row.lease_owner is None or row.attempts < ISOLATED_FROM_ATTEMPT - 1:
            continue
        if position == 0 and idle:
            return rows[:1], True
        return rows[:position], True
    return rows, False


def _fail_exhausted(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    if not rows:
        return
    for row in rows:
        died = "its worker died or lost its lease during the last attempt"
        # Without an owner it failed in an attempt that was the last only since the limit changed.
        error = row.last_error if row.lease_owner is None else died
        connection.execute(
            update(Order)
            .where(Order.id == row.id)
            .values(
                outcome=OrderStatus.FAILED.value,
                lease_owner=None,
                fence=Order.fence + 1,
                updated_at=utcnow(),
                last_error=error,
            )
        )
    add_totals(connection, slot=0, failed=len(rows))


def renew_leases(
    connection: Connection, claims: Collection[Claim], lease_seconds: float
) -> set[ClaimKey]:
    """Extend the leases that are still held; return the keys of those. Needs a transaction."""
    held = lock_held(connection, claims)
    if held:
        connection.execute(
            update(Order)
            .where(Order.id.in_(sorted(row_id for row_id, _ in held)))
            .values(available_at=utcnow(literal(lease_seconds)))
        )
    return held


def lock_held(connection: Connection, claims: Collection[Claim]) -> set[ClaimKey]:
    """Lock the orders of these claims; return the keys of the claims that are still held."""
    rows = connection.execute(
        select(Order.id, Order.fence, Order.outcome)
        .where(Order.id.in_([claim.id for claim in claims]))
        .order_by(Order.id)
        .with_for_update()
    )
    # By key, not by id: a process may meet two claims of its own on one order, of which the first
    # is lost.
    current = {(row.id, row.fence) for row in rows if row.outcome is None}
    return current & {claim.key for claim in claims}
