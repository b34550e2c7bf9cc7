"""MySQL with the settings of production, and databases filled as the service leaves them."""

from __future__ import annotations

import configparser
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.service_process import REPOSITORY

SERVICE_BIN = REPOSITORY / ".venv" / "bin"
PART = 50_000
# The ids of orders that are added later: above those of `fill`, below those of the load.
ADDED_FROM = 1_000_000_000
# Its accounts' file exists in the stack only; and here several servers share the connections.
OTHER_HERE = {"init_file", "max_connections"}

_NUMBERS = """
INSERT /*+ SET_VAR(cte_max_recursion_depth = 100000) */
INTO orders (order_id, user_id, item_ids, total_amount, outcome, available_at, attempts,
                    fence, processing_microseconds, created_at, updated_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %(count)s)
SELECT n + %(offset)s, n %% 1000 + 1, '[1, 2, 3]', 150.75, %(outcome)s, UTC_TIMESTAMP(6),
       %(attempts)s, %(attempts)s, %(microseconds)s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
FROM numbers
"""


class BenchMySQL(MySQLServer):
    """A server on the host's own loopback, without Docker's proxy in between."""

    def _network(self) -> tuple[list[str], list[str]]:
        return ["--network=host"], [f"--port={self.port}", f"--bind-address={self.host}"]


def production_settings() -> list[str]:
    """Return the options of the stack's MySQL."""
    parser = configparser.ConfigParser(inline_comment_prefixes=("#",))
    parser.read_string((REPOSITORY / "deploy/mysql/order-service.cnf").read_text())
    options = [
        f"--{name}={value}" for name, value in parser["mysqld"].items() if name not in OTHER_HERE
    ]
    return [*options, "--max-connections=500"]


_WAIT = (
    "UPDATE orders SET attempts = 1, available_at = '9999-12-31',"
    " next_attempt_at = NOW(6) + INTERVAL 1 DAY WHERE order_id > %s"
)


class OrderDatabase:
    """A database with the service's schema."""

    def __init__(self, server: MySQLServer) -> None:
        self.server = server
        self.name = server.create_database()
        self.url = server.url(self.name)
        subprocess.run(
            [SERVICE_BIN / "flask", "db", "upgrade"],
            check=True,
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": self.url},
            stderr=subprocess.DEVNULL,
            timeout=120,
        )

    def fill(self, *, completed: int = 0, pending: int = 0, waiting: int = 0) -> None:
        """Leave just these orders, `order_id` from 1 on: the completed ones first, and last those
        that wait for their second attempt, for a day."""
        self.query("TRUNCATE orders")
        self.query(
            "UPDATE order_totals SET completed = 0, failed = 0, waiting = 0,"
            " processing_microseconds = 0"
        )
        self._insert(completed, offset=0, finished=True)
        self._insert(pending + waiting, offset=completed, finished=False)
        if waiting:
            self.query(_WAIT, [completed + pending])
        self.query(
            "UPDATE order_totals SET completed = %s, waiting = %s, processing_microseconds = %s"
            " WHERE slot = 3",
            [completed, waiting, completed * 1000],
        )
        self.query("ANALYZE TABLE orders")

    def add_pending(self, count: int) -> None:
        """Queue that many orders more, as if another process had accepted them."""
        self._insert(count, offset=ADDED_FROM, finished=False)

    def completed(self) -> int:
        """Return how many orders are completed."""
        with self.counting() as completed:
            return completed()

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        """Give what `completed` does on one connection: cheap enough to ask all the time."""
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:

            def completed() -> int:
                cursor.execute("SELECT SUM(completed) FROM order_totals")
                return int(cursor.fetchall()[0][0])

            yield completed

    def wait_until_processed(self, seconds: float) -> None:
        """Wait until all that is stored is completed."""
        stored = self.count()
        with self.counting() as completed:
            wait_until(lambda: completed() >= stored, seconds, "the end of all orders", every=0.2)

    def count(self) -> int:
        """Return how many orders are stored."""
        return int(self.query("SELECT COUNT(*) FROM orders")[0][0])

    def table_bytes(self) -> int:
        """Return the size of the orders' table with its indexes, on the disk."""
        sizes = "SELECT file_size FROM information_schema.innodb_tablespaces WHERE name = %s"
        return int(self.query(sizes, [f"{self.name}/orders"])[0][0])

    def binary_log_bytes(self) -> int:
        """Return the size of the server's binary logs."""
        return sum(int(row[1]) for row in self.query("SHOW BINARY LOGS"))

    def query(
        self, sql: str, args: Sequence[object] | Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement as root."""
        return self.server.query(sql, args, database=self.name)

    def _insert(self, count: int, *, offset: int, finished: bool) -> None:
        for start in range(0, count, PART):
            values = {
                "count": min(PART, count - start),
                "offset": offset + start,
                "outcome": "Completed" if finished else None,
                "attempts": int(finished),
                "microseconds": 1000 if finished else None,
            }
            self.query(_NUMBERS, values)
