"""SQL of a processor's look at everything that may be to do, in one statement."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, exists, select

from service.storage.claims import LeaseRule, claimable
from service.storage.operations import running
from service.storage.processing_state import SharedState, state_of, with_state
from service.storage.waiting import due


@dataclass(frozen=True, slots=True)
class Look:
    """What all processors obey, and whether there are orders to claim, waiting orders that are due,
    and operations to run."""

    state: SharedState
    claimable: bool
    due: bool
    operations: bool


_LOOK = with_state(
    select(
        exists(claimable().order_by(None)).label("claimable"),
        exists(due()).label("due"),
        exists(running()).label("operations"),
    )
)


def look(connection: Connection, rule: LeaseRule) -> Look:
    """Return what is to do now, without locking anything."""
    row = connection.execute(_LOOK, rule.parameters).one()
    return Look(state_of(row), bool(row.claimable), bool(row.due), bool(row.operations))
