"""SQL of what all processors share: whether processing pauses, and whether the receiver is away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Row,
    Select,
    and_,
    func,
    insert,
    literal,
    select,
    update,
)

from service.storage import audit
from service.storage.audit import Act
from service.storage.models import ProcessingState
from service.storage.moments import utcnow

_HERE = ProcessingState.id == ProcessingState.ROW


@dataclass(frozen=True, slots=True)
class SharedState:
    """What all processors obey, and the database's clock.

    `left_alone` says that a receiver which is away must not be called yet.
    """

    now: datetime
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    away_since: datetime | None = None
    away_until: datetime | None = None
    left_alone: bool = False

    @property
    def paused(self) -> bool:
        """Whether nothing may be claimed."""
        return self.paused_at is not None

    @property
    def away(self) -> bool:
        """Whether the receiver is away."""
        return self.away_since is not None


_left_alone = and_(
    ProcessingState.away_until > utcnow(),
    # What ends later than it was meant to is from before the clock was set back.
    ProcessingState.away_until <= utcnow(ProcessingState.away_seconds + literal(1.0, Float)),
)
# One row, also where the state's own is lost, as after a partial restore.
_one = select(literal(1).label("one")).subquery("one")


def with_state(
    query: Select[*tuple[Any, ...]], row: int = ProcessingState.ROW
) -> Select[*tuple[Any, ...]]:
    """Add to a query, which has no FROM, the columns of that row that `state_of` reads."""
    return query.add_columns(
        utcnow().label("now"),
        ProcessingState.paused_at,
        ProcessingState.paused_by,
        ProcessingState.pause_reason,
        ProcessingState.away_since,
        ProcessingState.away_until,
        func.coalesce(_left_alone, False).label("left_alone"),
    ).select_from(_one.outerjoin(ProcessingState, ProcessingState.id == row))


_STATES = {
    row: with_state(select(), row) for row in (ProcessingState.ROW, ProcessingState.EVENTS_ROW)
}


def read_state(connection: Connection, row: int = ProcessingState.ROW) -> SharedState:
    """Return what all processors obey, or those that deliver events."""
    return state_of(connection.execute(_STATES[row]).one())


def state_of(row: Row[*tuple[Any, ...]]) -> SharedState:
    """Return the state that a row of a query `with_state` tells."""
    return SharedState(
        row.now,
        row.paused_at,
        row.paused_by,
        row.pause_reason,
        row.away_since,
        row.away_until,
        bool(row.left_alone),
    )


def pause(connection: Connection, by: str, reason: str | None) -> None:
    """Have all processors claim nothing more, and record who does.

    Who pauses what is paused leaves it as it is. Needs a transaction.
    """
    ensure_row(connection)
    paused = connection.execute(
        update(ProcessingState)
        .where(_HERE, ProcessingState.paused_at.is_(None))
        .values(paused_at=utcnow(), paused_by=by[:255], pause_reason=reason)
    )
    if paused.rowcount:
        audit.record(connection, by, Act.PROCESSING_PAUSE, "processing", reason)


def resume(connection: Connection, by: str) -> None:
    """Have all processors claim again, try at once a receiver that was away, and record who does.

    Needs a transaction.
    """
    ensure_row(connection)
    audit.record(connection, by, Act.PROCESSING_RESUME, "processing")
    connection.execute(
        update(ProcessingState)
        .where(_HERE)
        .values(paused_at=None, paused_by=None, pause_reason=None)
    )
    try_now(connection)


def try_now(connection: Connection, row: int = ProcessingState.ROW) -> None:
    """Have a receiver that is away tried at once."""
    connection.execute(
        update(ProcessingState)
        .where(ProcessingState.id == row, ProcessingState.away_since.is_not(None))
        .values(away_until=utcnow())
    )


def ensure_row(connection: Connection, row: int = ProcessingState.ROW) -> None:
    """Make the state's row, unless it is there."""
    connection.execute(
        insert(ProcessingState)
        .prefix_with("IGNORE", dialect="mysql")
        .prefix_with("OR IGNORE", dialect="sqlite")
        .values(id=row)
    )
