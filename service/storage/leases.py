"""SQL of the leases: which claims are still held, and until when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, literal, select, update

from service.storage.claims import Claim, ClaimKey
from service.storage.models import Order
from service.storage.moments import utcnow


@dataclass(frozen=True, slots=True)
class Standing:
    """Which claims are still `held`, and which have `ended` by a result of their own that was
    recorded before, though the answer to that was lost."""

    held: set[ClaimKey]
    ended: set[ClaimKey]


def lock_held(connection: Connection, claims: Collection[Claim]) -> Standing:
    """Lock the orders of these claims; return how the claims stand."""
    rows = connection.execute(
        select(Order.id, Order.fence, Order.outcome)
        .where(Order.id.in_([claim.id for claim in claims]))
        .order_by(Order.id)
        .with_for_update()
    ).all()
    # By key, not by id: a process may meet two claims of its own on one order, of which the first
    # is lost.
    keys = {claim.key for claim in claims}
    held = {(row.id, row.fence) for row in rows if row.outcome is None}
    completed = {(row.id, row.fence) for row in rows if row.outcome is not None}
    # Every other result moves the fence on by one.
    ended = completed | {(row.id, row.fence - 1) for row in rows}
    return Standing(held & keys, ended & keys)


def renew_leases(
    connection: Connection, claims: Collection[Claim], lease_seconds: float
) -> set[ClaimKey]:
    """Extend the leases that are still held; return the keys of those. Needs a transaction."""
    held = lock_held(connection, claims).held
    if held:
        connection.execute(
            update(Order)
            .where(Order.id.in_(sorted(row_id for row_id, _ in held)))
            .values(available_at=utcnow(literal(lease_seconds)))
        )
    return held
