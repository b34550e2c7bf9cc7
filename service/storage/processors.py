"""SQL of the processors that live, each with a row that it renews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Row,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from service.storage.models import ProcessorRow
from service.storage.moments import MICROSECONDS, microseconds_between, utcnow

# In seconds: one that was not seen for so long counts as dead, and after so long it is forgotten.
ALIVE_SECONDS = 30.0
FORGOTTEN_SECONDS = 3600.0

_ALIVE = ProcessorRow.seen_at > utcnow(literal(-ALIVE_SECONDS, Float))
# How many processors live.
alive_number = select(func.count(ProcessorRow.owner)).where(_ALIVE).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Presence:
    """How a processor shows that it lives."""

    owner: str
    threads: int
    lease_seconds: float
    release: str


def note_presence(connection: Connection, presence: Presence) -> None:
    """Note that the processor lives."""
    values = {
        "threads": presence.threads,
        "lease_seconds": presence.lease_seconds,
        "release_name": presence.release[:64],
        "seen_at": utcnow(),
    }
    renewed = connection.execute(
        update(ProcessorRow).where(ProcessorRow.owner == presence.owner).values(**values)
    ).rowcount
    if not renewed:
        connection.execute(
            insert(ProcessorRow).values(owner=presence.owner, started_at=utcnow(), **values)
        )
        forgotten = ProcessorRow.seen_at < utcnow(literal(-FORGOTTEN_SECONDS, Float))
        # One by one, so that no two processes that begin at once wait for each other in a circle.
        for owner in connection.execute(select(ProcessorRow.owner).where(forgotten)).scalars():
            note_end(connection, owner)


def note_end(connection: Connection, owner: str) -> None:
    """Note that the processor ends."""
    connection.execute(delete(ProcessorRow).where(ProcessorRow.owner == owner))


def list_alive(connection: Connection, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return at most `limit` processors that live, the longest living first.

    `silent_seconds` is since when one has not said that it lives.
    """
    query = select(
        ProcessorRow.owner,
        ProcessorRow.threads,
        ProcessorRow.lease_seconds,
        ProcessorRow.release_name,
        ProcessorRow.started_at,
        ProcessorRow.seen_at,
        (microseconds_between(ProcessorRow.seen_at, utcnow()) / MICROSECONDS).label(
            "silent_seconds"
        ),
    )
    query = query.where(_ALIVE).order_by(ProcessorRow.started_at, ProcessorRow.owner)
    return connection.execute(query.limit(limit)).all()


def longest_lease(connection: Connection) -> float:
    """Return the longest lease, in seconds, of all processors that live; 0 when none does."""
    longest = func.coalesce(func.max(ProcessorRow.lease_seconds), 0)
    return float(connection.execute(select(longest).where(_ALIVE)).scalar_one())
