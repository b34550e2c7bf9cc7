"""How a database finds rows: by which indexes, and at what cost, which is counted, not timed."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count

from sqlalchemy import Connection

from tests.support.mysql_server import USER, MySQLServer
from tests.support.statements import Statement

# The tables that grow.
TABLES = ("orders", "idempotency_keys", "events")
# A table that is searched, or walked along, by its own key; and what no plan should hold.
PRIMARY, SORT, SCAN = "PRIMARY", "a sort", "a scan"

Work = Callable[[Connection], object]


class SQLitePlans:
    """Plans of SQLite."""

    def indexes(self, connection: Connection, statement: Statement) -> set[str]:
        """Return the indexes through which the statement reaches the tables that grow."""
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters
        )
        found = set()
        for row in plan.all():
            if "TEMP B-TREE" in row.detail:
                found.add(SORT)
            reached = re.match(r"(?:SEARCH|SCAN) (\w+)(?:.* INDEX (\w+))?", row.detail)
            if reached and reached[1] in TABLES:
                by_key = reached[2] is None or reached[2].startswith("sqlite_autoindex")
                found.add(PRIMARY if by_key else reached[2])
        return found

    def cost(self, connection: Connection, work: Work) -> int:
        """Return how many steps of SQLite's virtual machine the work takes."""
        steps = count()

        def note() -> int:
            next(steps)
            return 0

        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(note, 1)
        try:
            work(connection)
        finally:
            driver.set_progress_handler(None, 1)
        return next(steps)


class MySQLPlans:
    """Plans of MySQL."""

    def __init__(self, server: MySQLServer) -> None:
        self._server = server

    def indexes(self, connection: Connection, statement: Statement) -> set[str]:
        """Return the indexes through which the statement reaches the tables that grow."""
        plan = connection.exec_driver_sql(
            f"EXPLAIN FORMAT=TRADITIONAL {statement.sql}", statement.parameters
        )
        found = set()
        for row in plan.all():
            if "filesort" in (row.Extra or ""):
                found.add(SORT)
            if row.table in TABLES:
                found.add(row.key or SCAN)
        return found

    def cost(self, connection: Connection, work: Work) -> int:
        """Return how many rows MySQL examines for the work."""
        before = self._examined()
        work(connection)
        return self._examined() - before

    def _examined(self) -> int:
        [[rows]] = self._server.query(
            "SELECT SUM(sum_rows_examined)"
            " FROM performance_schema.events_statements_summary_by_user_by_event_name"
            " WHERE user = %s",
            [USER],
        )
        return int(rows)
