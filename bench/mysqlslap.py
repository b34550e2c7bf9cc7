"""The limit: the service's insert, sent by MySQL's own load generator and nothing else."""

from __future__ import annotations

import re
import subprocess

from bench.database import OrderDatabase
from bench.load import LoadError, Sample
from tests.support.mysql_server import USER

# UUID_SHORT counts up by one, so the ids are unique and in order, as the load's are.
INSERT = (
    "INSERT INTO orders (order_id, user_id, item_ids, total_amount, attempts, fence, available_at,"
    " created_at, updated_at) VALUES (UUID_SHORT(), 456, '[1, 2, 3]', 150.75, 0, 0,"
    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
)
OPTIONS = "/tmp/mysqlslap.cnf"  # noqa: S108 - inside of a container of our own
SECONDS = re.compile(r"Average number of seconds to run all queries: ([0-9.]+)")
FIRST_QUERIES = 50


class MySQLSlap:
    """Inserts into one database from inside of MySQL's container."""

    def __init__(self, database: OrderDatabase) -> None:
        self._database = database
        server = database.server
        self._exec = ["docker", "exec", "--interactive", server.name]
        login = f"[client]\nuser={USER}\npassword={server.password}\n"
        self._run("sh", "-c", f"umask 077; cat >{OPTIONS}", text=login)
        self._target = [f"--host={server.host}", f"--port={server.port}"]
        self._rates: dict[int, float] = {}

    def measure(self, connections: int, seconds: float) -> Sample:
        """Insert from that many connections for about that long."""
        if connections not in self._rates:
            self._rates[connections] = self._insert(connections, FIRST_QUERIES * connections).rate
        each = max(FIRST_QUERIES, round(self._rates[connections] * seconds / connections))
        sample = self._insert(connections, each * connections)
        self._rates[connections] = sample.rate
        return sample

    def _insert(self, connections: int, queries: int) -> Sample:
        self._database.query("TRUNCATE orders")
        output = self._run(
            "mysqlslap",
            f"--defaults-extra-file={OPTIONS}",
            *self._target,
            *("--protocol=tcp", "--ssl-mode=DISABLED", "--get-server-public-key", "--no-drop"),
            *(f"--create-schema={self._database.name}", f"--query={INSERT}", "--delimiter=;"),
            *(f"--concurrency={connections}", f"--number-of-queries={queries}"),
        )
        stored = self._database.count()
        rate = queries / parse_seconds(output)
        lost = queries - stored
        return Sample(
            rate=rate,
            requests=queries,
            errors=lost,
            problem=f"{stored} rows of {queries}" if lost else "",
        )

    def _run(self, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
            [*self._exec, *arguments],
            capture_output=True,
            check=False,
            input=text,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise LoadError(f"{arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def parse_seconds(output: str) -> float:
    """Return how long all queries took, as mysqlslap says.

    Raises:
        LoadError: it says something else.
    """
    found = SECONDS.search(output)
    if found is None or not float(found[1]):
        raise LoadError(f"mysqlslap says no time: {output.strip()!r}")
    return float(found[1])
