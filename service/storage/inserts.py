"""INSERTs of many rows that a unique key may refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert
from sqlalchemy.exc import IntegrityError

from service.storage.failures import is_duplicate


@dataclass(frozen=True, slots=True)
class NewRows:
    """How new rows of one table are inserted.

    `statements` are by dialect: what MySQL's columns have as defaults, SQLite is given with each
    row. The unique key is `key` to MySQL and `column` to SQLite, as `is_duplicate` takes them;
    `taken` is raised when it refuses a row.
    """

    statements: Mapping[str, Insert]
    key: str
    column: str
    taken: type[Exception]

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows, in their order."""
        try:
            # MySQL's driver makes one statement of all: they hold nothing but parameters.
            connection.execute(self.statements[connection.dialect.name], rows)
        except IntegrityError as error:
            if is_duplicate(error, self.key, self.column):
                raise self.taken from None
            raise
