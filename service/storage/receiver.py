"""SQL of a receiver's state: whether it is away, until when, and who tries it.

One row for all processors of a database: by default that of the order handler's receiver. While it
is away nothing is claimed, but for one order at a time, with which one processor, the prober, tries
it. The receiver of events has a row of its own, and goes by the same rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Float, Row, bindparam, literal, or_, select, update

from service.storage.models import ProcessingState
from service.storage.moments import utcnow
from service.storage.processing_state import ensure_row
from service.storage.results import Absence

# In seconds: the pause after the first sign, and the longest that grows from it.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

# How often an order, or an event, may be the first sign of an absence.
MOST_FIRST_SIGNS = 3

_HERE = ProcessingState.id == bindparam("row")
_AWAY = select(ProcessingState.away_since, ProcessingState.away_seconds).where(_HERE)
_SET_AWAY = (
    update(ProcessingState)
    .where(_HERE)
    .values(
        away_until=utcnow(bindparam("seconds", type_=Float)),
        away_seconds=bindparam("seconds", type_=Float),
        prober=None,
        prober_until=None,
    )
)
_PRESENT = (
    update(ProcessingState)
    .where(_HERE)
    .values(away_since=None, away_until=None, away_seconds=None, prober=None, prober_until=None)
)


def lock_state(connection: Connection, row: int = ProcessingState.ROW) -> Row[*tuple[Any, ...]]:
    """Lock the state; return `away_since` and `away_seconds`. Needs a transaction."""
    found = connection.execute(_AWAY.with_for_update(), {"row": row}).first()
    if found is None:
        ensure_row(connection, row)
        found = connection.execute(_AWAY.with_for_update(), {"row": row}).one()
    return found


def note_absences(
    connection: Connection,
    absences: Sequence[Absence],
    *,
    probe: bool,
    row: int = ProcessingState.ROW,
) -> tuple[bool, float]:
    """Note what calls have met, of which one was a `probe` or none. Needs a transaction.

    The first sign of an absence, and a try that failed, set until when the receiver is left alone.

    Returns:
        Whether it was away already, and for how many seconds it is left alone.
    """
    state = lock_state(connection, row)
    away = state.away_since is not None
    pause = max(absence.retry_after for absence in absences)
    if away and probe:
        grown = min(LONGEST_PAUSE, 2.0 * (state.away_seconds or FIRST_PAUSE))
        pause = max(pause, grown)
        set_away(connection, pause, first=False, row=row)
    elif away:
        if pause:
            leave_alone_longer(connection, pause, row)
    elif not all(absence.others_succeed for absence in absences):
        pause = max(pause, FIRST_PAUSE)
        set_away(connection, pause, first=True, row=row)
    return away, max(pause, FIRST_PAUSE)


def is_alone(absence: Absence, times: int) -> bool:
    """Return whether who met an absence, so many `times` before, is alone with that."""
    return times >= (1 if absence.others_succeed else MOST_FIRST_SIGNS)


def set_away(
    connection: Connection, seconds: float, *, first: bool, row: int = ProcessingState.ROW
) -> None:
    """Have the receiver left alone for so many seconds from now; `first` begins its absence."""
    statement = _SET_AWAY.values(away_since=utcnow()) if first else _SET_AWAY
    connection.execute(statement, {"seconds": seconds, "row": row})


def leave_alone_longer(
    connection: Connection, seconds: float, row: int = ProcessingState.ROW
) -> None:
    """Have a receiver that is away left alone for at least so many seconds from now."""
    moment = utcnow(literal(seconds, Float))
    connection.execute(
        update(ProcessingState)
        .where(_HERE, ProcessingState.away_until < moment)
        .values(away_until=moment, away_seconds=seconds),
        {"row": row},
    )


def set_present(connection: Connection, row: int = ProcessingState.ROW) -> None:
    """Have the receiver called again as usual."""
    connection.execute(_PRESENT, {"row": row})


def become_prober(
    connection: Connection,
    owner: str,
    seconds: float,
    longest: float,
    row: int = ProcessingState.ROW,
) -> bool:
    """Return whether `owner` is the one that may try the receiver, for so many seconds.

    Who is it already may go on. `longest` is the longest time that any processor asks for.
    """
    free = or_(
        ProcessingState.prober.is_(None),
        ProcessingState.prober == owner,
        ProcessingState.prober_until <= utcnow(),
        # Written before the clock was set back.
        ProcessingState.prober_until > utcnow(literal(longest + 1.0, Float)),
    )
    changed = connection.execute(
        update(ProcessingState)
        .where(_HERE, ProcessingState.away_since.is_not(None), free)
        .values(prober=owner, prober_until=utcnow(literal(seconds, Float))),
        {"row": row},
    ).rowcount
    return bool(changed)


def leave_probing(connection: Connection, owner: str, row: int = ProcessingState.ROW) -> None:
    """Let another processor be the prober."""
    connection.execute(
        update(ProcessingState)
        .where(_HERE, ProcessingState.prober == owner)
        .values(prober=None, prober_until=None),
        {"row": row},
    )
