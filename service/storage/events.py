"""SQL of the events as operators see them: the log of their deliveries, and what is sent again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, or_, select, update

from service.storage.models import BY_PRIMARY, Event, ProcessingState
from service.storage.moments import utcnow
from service.storage.outbox import EventState
from service.storage.processing_state import try_now

BY_STATE = "FORCE INDEX (ix_events_state)"
BY_ORDER_ID = "FORCE INDEX (ix_events_order_id)"


_ALL = select(
    Event.id,
    Event.message_id,
    Event.type,
    Event.order_id,
    Event.user_id,
    Event.state,
    Event.attempts,
    case((Event.state == EventState.WAITING.value, Event.due_at)).label("next_attempt_at"),
    Event.last_status,
    Event.last_error,
    Event.created_at,
    Event.delivered_at,
)


def list_events(
    connection: Connection,
    *,
    limit: int,
    state: EventState | str | None = None,
    order_id: int | None = None,
    before: int | None = None,
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return at most `limit` events, newest first; those before the event `before` if given."""
    query = _ALL.order_by(Event.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Event.state == str(state))
    if order_id is not None:
        query = query.where(Event.order_id == order_id).with_hint(Event, BY_ORDER_ID, "mysql")
    elif state is not None:
        query = query.with_hint(Event, BY_STATE, "mysql")
    if before is not None:
        query = query.where(Event.id < before)
    return connection.execute(query).all()


def resend(connection: Connection, ids: Collection[int]) -> int:
    """Have these events delivered again, with all their attempts; return how many there are.

    One that waits already is due now. One that is being delivered is left alone, and does not
    count. A receiver that is away is tried at once. Needs a transaction.
    """
    free = or_(Event.runner.is_(None), Event.runner_until <= utcnow())
    changed = connection.execute(
        update(Event)
        .with_hint(BY_PRIMARY, dialect_name="mysql")
        .where(Event.id.in_(sorted(ids)), free)
        .values(
            state=EventState.WAITING.value,
            attempts=0,
            absences=0,
            due_at=utcnow(),
            runner=None,
            runner_until=None,
            delivered_at=None,
            updated_at=utcnow(),
        )
    ).rowcount
    if changed:
        try_now(connection, ProcessingState.EVENTS_ROW)
    return changed


def next_to_resend(
    connection: Connection,
    state: EventState,
    created_from: datetime,
    created_to: datetime | None,
    *,
    after: int,
    end: int,
    limit: int,
) -> tuple[Sequence[int], int]:
    """Look at the next `limit` events with this state, from the event `after` up to `end`.

    Returns:
        The ids of those that were written in that time, and the last one looked at; 0 when there
        is none any more.
    """
    rows = connection.execute(
        select(Event.id, Event.created_at)
        .with_hint(Event, BY_STATE, "mysql")
        .where(Event.state == state.value, Event.id > after, Event.id <= end)
        .order_by(Event.id)
        .limit(limit)
    ).all()
    chosen = [
        row.id
        for row in rows
        if row.created_at >= created_from and (created_to is None or row.created_at < created_to)
    ]
    return chosen, rows[-1].id if rows else 0


def newest_event(connection: Connection) -> int:
    """Return the id of the newest event, or 0."""
    return int(connection.execute(select(func.coalesce(func.max(Event.id), 0))).scalar_one())
