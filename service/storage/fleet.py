"""What is to be seen of all processors together."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from service.storage.operations import count_running
from service.storage.processing_state import SharedState, read_state
from service.storage.processors import count_alive


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many processors live, what they obey, and how many operations they run."""

    processors: int
    state: SharedState
    running_operations: int


def read_fleet(connection: Connection) -> Fleet:
    """Return what is to be seen now."""
    return Fleet(count_alive(connection), read_state(connection), count_running(connection))
