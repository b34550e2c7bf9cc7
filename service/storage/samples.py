"""SQL of the samples: the figures of each minute, by the database's clock, for charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
)

from service.storage.models import Sample
from service.storage.moments import MICROSECONDS, microseconds_between, utcnow
from service.storage.statistics import read_statistics

KEPT_MINUTES = 30 * 24 * 60
_MINUTE = 60 * MICROSECONDS
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as the database has it

_since_epoch = microseconds_between(literal(_EPOCH), utcnow())
# MySQL divides to a decimal.
_this_minute = cast(_since_epoch // _MINUTE, BigInteger)
_DUE = select(
    _since_epoch.label("now"), exists().where(Sample.minute == _this_minute).label("taken")
)
_OLD = delete(Sample).where(Sample.minute < _this_minute - KEPT_MINUTES)


def is_due(connection: Connection) -> tuple[bool, float]:
    """Return whether this minute has no sample yet, and the seconds until the next one begins."""
    row = connection.execute(_DUE).one()
    return not row.taken, (_MINUTE - row.now % _MINUTE) / MICROSECONDS


def take_sample(connection: Connection) -> None:
    """Store this minute's figures, unless another process has, and forget old samples.

    Needs a transaction.
    """
    figures = read_statistics(connection)
    connection.execute(
        insert(Sample)
        .prefix_with("IGNORE", dialect="mysql")
        .prefix_with("OR IGNORE", dialect="sqlite")
        .values(
            minute=_this_minute,
            pending=figures.pending,
            processing=figures.processing,
            completed=figures.completed,
            failed=figures.failed,
            cancelled=figures.cancelled,
            waiting=figures.waiting,
            oldest_due_seconds=figures.oldest_due_seconds,
        )
    )
    connection.execute(_OLD)


def list_samples(
    connection: Connection, *, minutes: int, step: int = 1
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the first sample of each `step` minutes, of the last so many, oldest first.

    `now` of each row is the present minute.
    """
    recent = Sample.minute > _this_minute - minutes
    first = select(func.min(Sample.minute)).where(recent).group_by(Sample.minute // step)
    query = select(
        Sample.minute,
        Sample.pending,
        Sample.processing,
        Sample.completed,
        Sample.failed,
        Sample.cancelled,
        Sample.waiting,
        Sample.oldest_due_seconds,
        _this_minute.label("now"),
    ).order_by(Sample.minute)
    chosen = recent if step == 1 else Sample.minute.in_(first)
    return connection.execute(query.where(chosen)).all()
