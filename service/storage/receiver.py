"""SQL of the receiver's state: whether it is away, until when, and who tries it.

One row for all processors of a database. While the receiver is away nothing is claimed, but for one
order at a time, with which one processor, the prober, tries it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Float, Row, bindparam, literal, or_, select, update

from service.storage.models import ProcessingState
from service.storage.moments import utcnow
from service.storage.processing_state import ensure_row

# In seconds: the pause after the first sign, and the longest that grows from it.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

_HERE = ProcessingState.id == ProcessingState.ROW
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


def lock_state(connection: Connection) -> Row[*tuple[Any, ...]]:
    """Lock the state; return `away_since` and `away_seconds`. Needs a transaction."""
    found = connection.execute(_AWAY.with_for_update()).first()
    if found is None:
        ensure_row(connection)
        found = connection.execute(_AWAY.with_for_update()).one()
    return found


def set_away(connection: Connection, seconds: float, *, first: bool) -> None:
    """Have the receiver left alone for so many seconds from now; `first` begins its absence."""
    statement = _SET_AWAY.values(away_since=utcnow()) if first else _SET_AWAY
    connection.execute(statement, {"seconds": seconds})


def leave_alone_longer(connection: Connection, seconds: float) -> None:
    """Have a receiver that is away left alone for at least so many seconds from now."""
    moment = utcnow(literal(seconds, Float))
    connection.execute(
        update(ProcessingState)
        .where(_HERE, ProcessingState.away_until < moment)
        .values(away_until=moment, away_seconds=seconds)
    )


def set_present(connection: Connection) -> None:
    """Have the receiver called again as usual."""
    connection.execute(_PRESENT)


def become_prober(connection: Connection, owner: str, seconds: float, longest: float) -> bool:
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
        .values(prober=owner, prober_until=utcnow(literal(seconds, Float)))
    ).rowcount
    return bool(changed)


def leave_probing(connection: Connection, owner: str) -> None:
    """Let another processor be the prober."""
    connection.execute(
        update(ProcessingState)
        .where(_HERE, ProcessingState.prober == owner)
        .values(prober=None, prober_until=None)
    )
