"""SQL of the claims.

Claims go through `ix_orders_claimable` in the order of arrival and skip what other processes have
locked. Everything else locks its rows by primary key, in ascending order, before the totals; so
no two transactions wait for each other in a circle.

What waits for a later attempt is elsewhere in that index: see `service.storage.waiting`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    Row,
    Select,
    bindparam,
    case,
    literal_column,
    or_,
    select,
    update,
)

from service.storage.attempts import insert_attempts
from service.storage.lost_claims import fail_exhausted, lost_attempt
from service.storage.models import BY_CLAIMABLE, BY_PRIMARY, Order
from service.storage.moments import MICROSECONDS, microseconds_between, utcnow
from service.telemetry import tracing

# From this attempt on, an order whose workers died is only run alone: see `claim_orders`.
ISOLATED_FROM_ATTEMPT = 3

# How many times as many orders are looked at as are to be claimed: other processes claim, too.
# Of a large claim, so many more at most.
CANDIDATES, MOST_OTHERS = 4, 400
# How many times as many again, when all of those were locked.
MORE_CANDIDATES = 8
# A batch's claims are numbered from a random number of so many bits: the database itself, restored
# or emptied, cannot make the same numbers again.
FENCE_BITS = 62
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as in the database

ClaimKey = tuple[int, int]


# Not frozen: there is one for each order, and to make a frozen one takes three times as long.
@dataclass(slots=True)
class Claim:
    """The right to process an order until its lease ends; `fence` proves it.

    `attempt` counts from 1, this attempt included. `waited` is how many seconds ago the order was
    accepted, by the database's clock, when it was claimed. `traceparent` is the trace in which it
    was posted.
    """

    id: int
    fence: int
    attempt: int
    order_id: int
    user_id: int
    item_ids: list[int]
    total_amount: Decimal
    created_at: datetime
    key_version: int = 0
    waited: float = 0.0
    traceparent: str | None = None

    @property
    def key(self) -> ClaimKey:
        """What tells this claim from every other, earlier ones of the same order included."""
        return self.id, self.fence

    @property
    def log_context(self) -> dict[str, object]:
        """What a line of the log about it says of it."""
        trace = tracing.log_context(self.traceparent)
        return {"order_id": self.order_id, "attempt": self.attempt, **trace}


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """What one look at the queue gave.

    `exhausted` are the `order_id`s that had no attempt left and are Failed now, with the traces in
    which they were posted, and `lost` is how many attempts had lost their leases. `isolate` tells
    that the next order has to run alone, so that nothing may be claimed before the process is idle.
    """

    claims: list[Claim]
    exhausted: dict[int, str | None]
    isolate: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class LeaseRule:
    """When the lease of another claim counts as ended.

    Without `trusted` none does: the database's clock has jumped, and who lives has yet to renew
    its leases. A lease that ends more than `longest` seconds ahead is from before such a jump.
    """

    trusted: bool
    longest: float

    @property
    def parameters(self) -> dict[str, float]:
        """The values of the statements' parameters."""
        return {"trusted": int(self.trusted), "longest": self.longest + 1.0}


def claimable() -> Select[int, int, int]:
    """Select the orders that may be claimed now, fresh and abandoned alike, oldest first.

    Its parameters are those of a `LeaseRule`.
    """
    return (
        select(Order.id, Order.fence, Order.attempts)
        .with_hint(Order, BY_CLAIMABLE, "mysql")
        .where(Order.outcome.is_(None), Order.next_attempt_at.is_(None), _is_free())
        .order_by(Order.id)
    )


def _is_free() -> Any:
    trusted = bindparam("trusted", type_=Integer) == 1
    longest = utcnow(bindparam("longest", type_=Float))
    ended = or_(Order.available_at <= utcnow(), Order.available_at > longest)
    return or_(Order.lease_owner.is_(None), trusted & ended)


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
        # First those that `_claim` takes.
        Order.id,
        Order.attempts,
        Order.order_id,
        Order.user_id,
        Order.item_ids,
        Order.total_amount,
        microseconds_between(literal_column("'1970-01-01 00:00:00'"), Order.created_at).label(
            "created"
        ),
        Order.key_version,
        microseconds_between(Order.created_at, utcnow()).label("waited"),
        Order.traceparent,
        Order.lease_owner,
        Order.last_error,
        # A claim sets `updated_at`, and a renewal does not.
        case(
            (Order.lease_owner.is_not(None), microseconds_between(Order.updated_at, utcnow()))
        ).label("held"),
    )
    .prefix_with("STRAIGHT_JOIN", dialect="mysql")
    # Where the statistics say that the table is small, MySQL would read, and lock, all of it.
    .with_hint(Order, BY_PRIMARY, "mysql")
    .select_from(_candidates.join(Order, Order.id == _candidates.c.id))
    .where(Order.outcome.is_(None), Order.next_attempt_at.is_(None), _is_free())
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(of=Order, skip_locked=True)
)
_lease = update(Order).values(
    lease_owner=bindparam("owner"),
    fence=Order.id + bindparam("fences", type_=BigInteger),
    attempts=Order.attempts + 1,
    available_at=utcnow(bindparam("lease_seconds", type_=Float)),
    updated_at=utcnow(),
)
_LEASE = _lease.where(Order.id.in_(bindparam("ids", expanding=True)))
# Of rows that follow each other, which is found in less than half of the time.
_LEASE_RANGE = _lease.where(Order.id.between(bindparam("first"), bindparam("last")))


def claim_orders(
    connection: Connection,
    *,
    owner: str,
    limit: int,
    lease_seconds: float,
    max_attempts: int,
    idle: bool,
    rule: LeaseRule,
) -> ClaimedBatch:
    """Claim up to `limit` orders for `owner`. Needs a transaction.

    An order that was claimed before and not given back has lost its worker. When that happened
    twice, the order may be what kills the workers, so it is claimed only when the process is
    `idle`, and alone: otherwise it would cost the orders beside it their attempts as well.
    """
    rows = _lock_claimable(connection, limit, rule)
    fences = secrets.randbits(FENCE_BITS)
    spent = [row for row in rows if row.attempts >= max_attempts]
    fail_exhausted(connection, spent, fences)
    rows, isolate = _isolate([row for row in rows if row.attempts < max_attempts], idle=idle)
    if rows:
        values = {"owner": owner, "fences": fences, "lease_seconds": lease_seconds}
        _lease_rows(connection, [row.id for row in rows], values)
    lost = [row for row in (*spent, *rows) if row.lease_owner is not None]
    insert_attempts(connection, [lost_attempt(row) for row in lost])
    claims = [_claim(row, fences) for row in rows]
    exhausted = {row.order_id: row.traceparent for row in spent}
    return ClaimedBatch(claims, exhausted, isolate, len(lost))


def _lease_rows(connection: Connection, ids: Sequence[int], values: dict[str, Any]) -> None:
    first, last = ids[0], ids[-1]
    if last - first + 1 == len(ids):
        connection.execute(_LEASE_RANGE, {"first": first, "last": last, **values})
    else:
        connection.execute(_LEASE, {"ids": ids, **values})


def _claim(row: Row[*tuple[Any, ...]], fences: int) -> Claim:
    # Taken apart at once, since each look-up by name takes as long as all of this.
    row_id, attempts, order_id, user_id, items, amount, created, version, waited, trace, *_ = row
    return Claim(
        row_id,
        fences + row_id,
        attempts + 1,
        order_id,
        user_id,
        items,
        amount,
        EPOCH + timedelta(microseconds=created),
        version,
        max(0, waited) / MICROSECONDS,
        trace,
    )


def _lock_claimable(
    connection: Connection, limit: int, rule: LeaseRule
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Lock the oldest claimable orders that nobody else has locked, however many others have."""
    if not limit:
        return []
    candidates = min(limit * CANDIDATES, limit + MOST_OTHERS)
    while True:
        given = {"candidates": candidates, **rule.parameters}
        found = connection.execute(LOCK_CLAIMABLE, {"limit": limit, **given}).all()
        if found or connection.execute(_HAS_MORE, given).first() is None:
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
