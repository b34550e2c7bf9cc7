"""What is to be seen of all processors together."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from service.storage import operations, processors
from service.storage.event_upkeep import EventFigures, read_figures
from service.storage.processing_state import SharedState, state_of, with_state


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many processors live, what they obey, how many operations they run, and what is to be
    seen of the events (None where no events are written)."""

    processors: int
    state: SharedState
    running_operations: int
    events: EventFigures | None = None


# One statement, but for events: who waits for it waits for one time-out at most.
_FLEET = with_state(
    select(processors.alive_number.label("processors"), operations.running_number.label("running"))
)


def read_fleet(connection: Connection) -> Fleet:
    """Return what is to be seen now."""
    row = connection.execute(_FLEET).one()
    return Fleet(row.processors, state_of(row), row.running, read_figures(connection))
