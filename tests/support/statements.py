"""The statements that reach a database, in the order in which they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event


@dataclass(frozen=True)
class Statement:
    """A statement as the driver gets it."""

    sql: str
    parameters: Any

    @property
    def verb(self) -> str:
        """Its first word: SELECT, UPDATE, COMMIT ..."""
        return self.sql.split(maxsplit=1)[0].upper()


@contextmanager
def statements(engine: Engine) -> Iterator[list[Statement]]:
    """Give a list that fills with what is sent through the engine."""
    sent: list[Statement] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        sent.append(Statement(sql, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
