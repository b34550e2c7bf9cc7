"""SQL of the deliveries of events: who delivers which, and how that ended.

Events that are due are taken in the order in which they became due, past what other processes have
locked, each with a lease on database time. What an attempt means for all is decided in the
transaction that records it, as with orders.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    and_,
    bindparam,
    literal,
    or_,
    select,
    update,
)

from service.storage.absences import ASIDE_LONGER
from service.storage.claims import CANDIDATES
from service.storage.models import BY_PRIMARY, LAST_ERROR_LENGTH, Event, ProcessingState
from service.storage.moments import utcnow
from service.storage.outbox import EventState
from service.storage.processing_state import SharedState, state_of, with_state
from service.storage.receiver import is_alone, leave_probing, note_absences, set_present
from service.storage.results import Absence, Verdict

RECEIVER = ProcessingState.EVENTS_ROW
# Seconds for which a process has an event to itself: longer than a call takes.
LEASE_SECONDS = 20.0
# For how many days a delivered event is kept.
KEPT_DAYS = 30.0
# Of the clock: see `service.storage.waiting`.
CLOCK_TOLERANCE = 1.0
BY_DUE = "FORCE INDEX (ix_events_due)"


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """An event that this process delivers. `attempts` were made before, and failed.

    `absences` is how often it met a receiver that was away.
    """

    id: int
    message_id: str
    type: str
    order_id: int
    user_id: int
    order_attempts: int
    order_error: str | None
    traceparent: str | None
    created_at: datetime
    attempts: int
    absences: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The end of an attempt to deliver an event.

    `status` is the answer's, if one came. `delay` is the seconds before a retry. `absence` says
    that the receiver was away, and then `verdict` and `delay` do not count. `probe` says that it
    tried a receiver that was away.
    """

    event: TakenEvent
    verdict: Verdict
    status: int | None = None
    error: str | None = None
    delay: float = 0.0
    probe: bool = False
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class DueEvents:
    """Whether events are due that nobody delivers, and the state of their receiver."""

    state: SharedState
    due: bool


def _is_due() -> ColumnElement[bool]:
    free = or_(
        Event.runner.is_(None),
        Event.runner_until <= utcnow(),
        # Written before the clock was set back.
        Event.runner_until > utcnow(literal(LEASE_SECONDS + CLOCK_TOLERANCE, Float)),
    )
    return and_(Event.state == EventState.WAITING.value, Event.due_at <= utcnow(), free)


_DUE = select(Event.id).with_hint(Event, BY_DUE, "mysql").where(_is_due())
# Ordered, since MySQL reads thousands ahead where the order does not matter.
_first_due = _DUE.order_by(Event.due_at, Event.id).limit(1).scalar_subquery()
_LOOK = with_state(select(_first_due.is_not(None).label("due")), RECEIVER)
_candidates = (
    _DUE.order_by(Event.due_at, Event.id).limit(bindparam("candidates", type_=Integer)).subquery()
)
# The index is only read, without locks: see `service.storage.claims`.
_LOCK_DUE = (
    select(
        Event.id,
        Event.message_id,
        Event.type,
        Event.order_id,
        Event.user_id,
        Event.order_attempts,
        Event.order_error,
        Event.traceparent,
        Event.created_at,
        Event.attempts,
        Event.absences,
    )
    .prefix_with("STRAIGHT_JOIN", dialect="mysql")
    .with_hint(Event, BY_PRIMARY, "mysql")
    .select_from(_candidates.join(Event, Event.id == _candidates.c.id))
    .where(_is_due())
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(of=Event, skip_locked=True)
)
_HELD = (
    select(Event.id)
    .with_hint(Event, BY_PRIMARY, "mysql")
    .where(Event.id.in_(bindparam("ids", expanding=True)))
    .where(Event.runner == bindparam("runner"), Event.state == EventState.WAITING.value)
    .order_by(Event.id)
    .with_for_update()
)


def look_at_events(connection: Connection) -> DueEvents:
    """Return what is to do now, without locking anything."""
    row = connection.execute(_LOOK).one()
    return DueEvents(state_of(row), bool(row.due))


def take_events(connection: Connection, runner: str, limit: int) -> list[TakenEvent]:
    """Have `runner` deliver up to `limit` events that are due, for `LEASE_SECONDS`.

    Needs a transaction.
    """
    given = {"limit": limit, "candidates": limit * CANDIDATES}
    rows = connection.execute(_LOCK_DUE, given).all()
    if rows:
        values = {"runner": runner, "runner_until": utcnow(literal(LEASE_SECONDS, Float))}
        change_events(connection, [row.id for row in rows], values)
    return [TakenEvent(*row) for row in rows]


def record_deliveries(
    connection: Connection, deliveries: Sequence[Delivery], runner: str
) -> list[Delivery]:
    """Record how attempts of `runner` ended; one that it has no longer changes nothing.

    Needs a transaction.

    Returns:
        Those that were recorded, as they were decided.
    """
    ids = sorted(one.event.id for one in deliveries)
    held = set(connection.execute(_HELD, {"ids": ids, "runner": runner}).scalars())
    recorded = [one for one in _decide(connection, deliveries, runner) if one.event.id in held]
    delivered: dict[int | None, list[int]] = {}
    for one in recorded:
        if one.verdict is Verdict.COMPLETE:
            delivered.setdefault(one.status, []).append(one.event.id)
        else:
            change_events(connection, [one.event.id], _not_delivered(one))
    for status, chosen in delivered.items():
        change_events(connection, chosen, _delivered(status))
    return recorded


def _decide(connection: Connection, deliveries: Sequence[Delivery], runner: str) -> list[Delivery]:
    """Have the ends changed that depend on the receiver, whose state depends on them."""
    probed = [one for one in deliveries if one.probe]
    if any(one.absence is None and one.verdict is not Verdict.GIVE_BACK for one in probed):
        set_present(connection, RECEIVER)
    decided = [one for one in deliveries if one.absence is None]
    met = [(one, one.absence) for one in deliveries if one.absence]
    if met:
        absences = [absence for _, absence in met]
        away, pause = note_absences(connection, absences, probe=bool(probed), row=RECEIVER)
        decided += [_after_absence(one, absence, pause, away=away) for one, absence in met]
    if probed:
        leave_probing(connection, runner, RECEIVER)
    return decided


def _after_absence(one: Delivery, absence: Absence, pause: float, *, away: bool) -> Delivery:
    if is_alone(absence, one.event.absences) and not away:
        delay = max(absence.delay, absence.retry_after)
        return replace(one, verdict=absence.verdict, delay=delay)
    # Of the tries of one absence only the first counts.
    counts = not one.event.absences or not away
    event = replace(one.event, absences=one.event.absences + counts)
    return replace(one, event=event, verdict=Verdict.PUT_ASIDE, delay=pause + ASIDE_LONGER)


def _delivered(status: int | None) -> dict[str, Any]:
    return _FREE | {
        "state": EventState.DELIVERED.value,
        "attempts": Event.attempts + 1,
        "due_at": utcnow(literal(86_400.0 * KEPT_DAYS, Float)),
        "last_status": status,
        "last_error": None,
        "delivered_at": utcnow(),
    }


def _not_delivered(one: Delivery) -> dict[str, Any]:
    if one.verdict is Verdict.GIVE_BACK:
        return _FREE
    said = {"last_status": one.status, "last_error": (one.error or "")[:LAST_ERROR_LENGTH]}
    if one.verdict is Verdict.PUT_ASIDE:
        changed: dict[str, Any] = {"absences": one.event.absences}
    else:
        changed = {"attempts": Event.attempts + 1}
    if one.verdict is Verdict.FAIL:
        changed |= {"state": EventState.FAILED.value, "due_at": None}
    else:
        changed |= {"due_at": utcnow(literal(one.delay, Float))}
    return _FREE | said | changed


_FREE: dict[str, Any] = {"runner": None, "runner_until": None, "updated_at": utcnow()}


def change_events(
    connection: Connection,
    ids: Collection[int],
    values: dict[str, Any],
    *conditions: ColumnElement[bool],
) -> None:
    """Change the columns of those of these events that meet the conditions."""
    connection.execute(
        update(Event)
        .with_hint(BY_PRIMARY, dialect_name="mysql")
        .where(Event.id.in_(sorted(ids)), *conditions)
        .values(**values)
    )
