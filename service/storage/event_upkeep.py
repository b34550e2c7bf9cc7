"""SQL of what is done about events beside delivering them: forgetting, counting, and the clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Float, delete, func, literal, select

from service.storage.deliveries import BY_DUE, CLOCK_TOLERANCE, RECEIVER, change_events
from service.storage.events import BY_STATE
from service.storage.models import Event
from service.storage.moments import MICROSECONDS, microseconds_between, utcnow
from service.storage.outbox import EventState, writes_events
from service.storage.processing_state import state_of, with_state

_waiting = Event.state == EventState.WAITING.value


@dataclass(frozen=True, slots=True)
class EventFigures:
    """What is to be seen of the deliveries: how many events wait, since when the longest due one
    is due (in seconds; 0 when none is), and whether the receiver is away."""

    waiting: int
    oldest_due_seconds: float
    away: bool


_FIGURES = with_state(
    select(
        select(func.count()).where(_waiting).scalar_subquery().label("waiting"),
        select(microseconds_between(func.min(Event.due_at), utcnow()))
        .where(_waiting)
        .scalar_subquery()
        .label("overdue"),
    ),
    RECEIVER,
)


def bring_back_from_before_a_jump(connection: Connection, after: int, limit: int) -> int | None:
    """Make events due that wait since a moment which is still to come.

    The clock was set back since then, so nobody knows when they are due. It looks at the next
    `limit` events that wait, from the event `after` on: all of them would take too long where a
    receiver has been away for days. Needs a transaction.

    Returns:
        The last one looked at; None when it was the last of all.
    """
    ahead = Event.updated_at > utcnow(literal(CLOCK_TOLERANCE, Float))
    rows = connection.execute(
        select(Event.id, ahead.label("ahead"))
        .with_hint(Event, BY_STATE, "mysql")
        .where(_waiting, Event.id > after)
        .order_by(Event.id)
        .limit(limit)
    ).all()
    if found := [row.id for row in rows if row.ahead]:
        values = {"due_at": utcnow(), "updated_at": utcnow()}
        # One that was delivered meanwhile is due to be forgotten, and not now.
        change_events(connection, found, values, _waiting)
    return rows[-1].id if len(rows) == limit else None


def find_forgotten(connection: Connection, limit: int) -> Sequence[int]:
    """Return the ids of at most `limit` events that were delivered `KEPT_DAYS` ago."""
    old = (
        select(Event.id)
        .with_hint(Event, BY_DUE, "mysql")
        .where(Event.state == EventState.DELIVERED.value, Event.due_at <= utcnow())
        .order_by(Event.due_at)
        .limit(limit)
    )
    return connection.execute(old).scalars().all()


def delete_delivered(connection: Connection, ids: Collection[int]) -> None:
    """Delete these events, but for those that are sent again."""
    connection.execute(
        delete(Event).where(Event.id.in_(sorted(ids)), Event.state == EventState.DELIVERED.value)
    )


def read_figures(connection: Connection) -> EventFigures | None:
    """Return what is to be seen of the deliveries; None where no events are written."""
    if not writes_events(connection):
        return None
    row = connection.execute(_FIGURES).one()
    overdue = max(0, row.overdue or 0) / MICROSECONDS
    return EventFigures(row.waiting, overdue, state_of(row).away)
