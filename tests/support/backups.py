"""The host's backup programs on a MySQL server of the lab, as the deployed host runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pymysql

from tests.support.database_host import DatabaseHost
from tests.support.mysql_server import MySQLServer
from tests.support.service_process import REPOSITORY

PROGRAMS = REPOSITORY / "deploy" / "host"
STAND_INS = REPOSITORY / "tests" / "programs"
MOST_ROWS = 5_000
ACCOUNT_IS_LOCKED = 3118
ORDER = (
    "INSERT INTO orders.orders (order_id, user_id, item_ids, total_amount, available_at, attempts,"
    " fence, created_at, updated_at) VALUES (%s, 7, '[1, 2]', 150.75, NOW(6), 0, 0, NOW(6), NOW(6))"
)


class BackupHost:
    """A folder in the place of the host's, and the programs working on it."""

    def __init__(self, database: DatabaseHost, folder: Path) -> None:
        self.database, self.server = database, database.server
        self.folder = folder
        self.store = folder / "store"
        self.settings = folder / "settings" / "backup.json"
        self.there = folder / "there"
        for name in ("settings", "run", "upstream", "bin", "there"):
            (folder / name).mkdir(parents=True)
        for name in ("docker", "rsync"):
            (folder / "bin" / name).symlink_to(STAND_INS / f"backup_{name}.sh")
        for name in ("service", "migrate"):
            (folder / "volumes" / f"order-service_{name}-secrets").mkdir(parents=True)
        (folder / "volumes" / "order-service_service-secrets" / "auth_password").touch()
        # What serves, as nginx is told.
        (folder / "upstream" / "server.conf").write_text("server 192.168.213.10:5000;")
        (folder / "running").touch()
        (folder / "stack").mkdir()
        (folder / "stack" / ".env").touch()
        self.environment = {
            "DOCKER": shutil.which("docker") or "docker",
            "FOLDER": str(folder),
            "ORDER_SERVICE_SETTINGS": str(folder / "settings"),
            "ORDER_SERVICE_ROOT": str(folder),
            "ORDER_SERVICE_RUN": str(folder / "run"),
            "ORDER_SERVICE_UNIT": "",
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        self.configure()

    def configure(self, **settings: object) -> None:
        """Write the settings' file anew."""
        base = {"container": self.server.name, "directory": str(self.store), "reserve_megabytes": 1}
        self.settings.write_text(json.dumps(base | settings))

    def share_database(self) -> None:
        """Have other hosts use the database, too."""
        (self.folder / "stack" / ".env").write_text("DATABASE_SERVERS=10.0.0.1:3306\n")

    def begin(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin to run one of the programs."""
        return subprocess.Popen(
            [sys.executable, PROGRAMS, program, *arguments],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, program: str, *arguments: str, seconds: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the programs, whatever comes of it."""
        with self.begin(program, *arguments) as process:
            try:
                output, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def must(self, program: str, *arguments: str, seconds: float = 300) -> str:
        """Run one of the programs; it must succeed, within the seconds."""
        done = self.run(program, *arguments, seconds=seconds)
        assert done.returncode == 0, f"{program} {arguments}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def backup(self) -> dict[str, Any]:
        """Make a full backup and return its manifest."""
        manifest: dict[str, Any] = json.loads(self.must("backup", "full", "manual"))
        return manifest

    def refused(self, program: str, *arguments: str) -> str:
        """Run one of the programs, which must fail, and return the line that it says then."""
        done = self.run(program, *arguments)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    def docker(self) -> list[str]:
        """Return what Docker was asked for so far, each with `open` or `closed` before it."""
        return (self.folder / "docker.log").read_text().splitlines()

    def state(self, what: str) -> dict[str, Any]:
        """Return how the last backup, binlog copy or drill ended."""
        state: dict[str, Any] = json.loads((self.store / f"last-{what}.json").read_text())
        return state

    def orders(self, user_id: int = 7) -> int:
        """Return the number of live orders of a user's."""
        count = "SELECT COUNT(*) FROM orders.orders WHERE user_id = %s"
        return int(self.server.query(count, [user_id])[0][0])

    def post(self, *order_ids: int) -> None:
        """Store orders."""
        for order_id in order_ids:
            self.server.query(ORDER, [order_id])


class AtWork:
    """Does something in a thread of its own until told to stop."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        raise NotImplementedError

    @contextmanager
    def at_work(self) -> Iterator[Self]:
        """Do it meanwhile."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join(60)


class Writer(AtWork):
    """Inserts orders one by one, and knows when each was committed."""

    def __init__(self, server: MySQLServer, first_id: int) -> None:
        super().__init__()
        self._server = server
        self._first_id = first_id
        self.acknowledged: list[tuple[int, datetime]] = []

    def _run(self) -> None:
        with self._server.connect() as connection, connection.cursor() as cursor:
            for order_id in range(self._first_id, self._first_id + MOST_ROWS):
                cursor.execute(ORDER, [order_id])
                self.acknowledged.append((order_id, datetime.now(UTC)))
                if self._stopping.wait(0.002):
                    return


class Visitor(AtWork):
    """Stores orders as another host's service does: what ends its session is met with a new one."""

    def __init__(self, database: DatabaseHost) -> None:
        super().__init__()
        password = database.passwords()["service"]
        there = {"host": database.server.host, "port": database.server.port}
        self._login: dict[str, Any] = {"user": "service", "password": password, **there}
        self.stored: list[int] = []
        self.locked_out = False

    def _run(self) -> None:
        order_id = 10_000
        while not self._stopping.wait(0.002):
            try:
                with pymysql.connect(autocommit=True, **self._login) as session:
                    while not self._stopping.wait(0.002):
                        order_id += 1
                        session.cursor().execute(ORDER, [order_id])
                        self.stored.append(order_id)
            except (pymysql.OperationalError, pymysql.InterfaceError) as problem:
                self.locked_out |= problem.args[0] == ACCOUNT_IS_LOCKED
