"""INSERT of several rows in one statement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Insert

Row = Mapping[str, Any]


class MultiRowInsert:
    """An INSERT statement for as many rows as there are.

    SQLAlchemy compiles such a statement anew for each set of rows, which costs more than to run
    it; and the driver joins rows only when they hold nothing but parameters. So the INSERT of one
    row, with a `bindparam` for each value that differs, is compiled once, and its row repeated.
    """

    def __init__(self, one_row: Insert) -> None:
        self._one_row = one_row
        self._compiled = lru_cache(maxsize=8)(self._compile)

    def execute(self, connection: Connection, rows: Collection[Row]) -> None:
        """Insert the rows, all or none. Raises SQLAlchemy's exceptions."""
        head, row, to_parameters = self._compiled(connection.dialect)
        connection.exec_driver_sql(
            head + ", ".join([row] * len(rows)),
            tuple(chain.from_iterable(map(to_parameters, rows))),
        )

    def _compile(self, dialect: Dialect) -> tuple[str, str, Callable[[Row], list[Any]]]:
        # Named parameters cannot be repeated.
        kind: Any = type(dialect)
        positional = dialect if dialect.positional else kind(paramstyle="format")
        compiled = self._one_row.compile(dialect=positional)
        head, values, row = str(compiled).partition(" VALUES ")
        columns = self._one_row.table.columns
        converters = [
            (name, columns[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or ()
        ]

        def to_parameters(values: Row) -> list[Any]:
            return [
                convert(values[name]) if convert else values[name] for name, convert in converters
            ]

        return head + values, row, to_parameters
