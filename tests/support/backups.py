"""The host's backup programs on a MySQL server of the lab, as the deployed host runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.databases import migrate
from tests.support.mysql_server import MySQLServer
from tests.support.service_process import REPOSITORY

PROGRAMS = REPOSITORY / "deploy" / "host"
MOST_ROWS = 5_000
ORDER = (
    "INSERT INTO orders.orders (order_id, user_id, item_ids, total_amount, available_at, attempts,"
    " fence, created_at, updated_at) VALUES (%s, 7, '[1, 2]', 150.75, NOW(6), 0, 0, NOW(6), NOW(6))"
)


class BackupHost:
    """A folder in the place of the host's, and the programs working on it."""

    def __init__(self, server: MySQLServer, folder: Path, **settings: object) -> None:
        self.server = server
        self.store = folder / "store"
        self.folder = folder
        self.configure(**settings)

    def configure(self, **settings: object) -> None:
        """Write the settings' file anew."""
        base = {"container": self.server.name, "directory": str(self.store), "reserve_megabytes": 1}
        (self.folder / "backup.json").write_text(json.dumps(base | settings))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs, whatever comes of it."""
        environment = {
            "ORDER_SERVICE_SETTINGS": str(self.folder),
            "ORDER_SERVICE_ROOT": str(self.folder / "root"),
            "BACKUP_LOCK": str(self.folder / "lock"),
        }
        return subprocess.run(
            [sys.executable, PROGRAMS / f"{program}.py", *arguments],
            capture_output=True,
            check=False,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
        )

    def must(self, program: str, *arguments: str) -> str:
        """Run one of the programs; it must succeed."""
        done = self.run(program, *arguments)
        assert done.returncode == 0, f"{program} {arguments}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def backup(self) -> dict[str, Any]:
        """Make a full backup and return its manifest."""
        manifest: dict[str, Any] = json.loads(self.must("backup", "full", "manual"))
        return manifest

    def restore(self, *arguments: str) -> dict[str, Any]:
        """Restore and return the report."""
        report: dict[str, Any] = json.loads(self.must("restore", *arguments))
        return report

    def state(self, what: str) -> dict[str, Any]:
        """Return how the last backup, binlog copy or drill ended."""
        state: dict[str, Any] = json.loads((self.store / f"last-{what}.json").read_text())
        return state

    def orders(self) -> int:
        """Return the number of live orders."""
        return int(self.server.query("SELECT COUNT(*) FROM orders.orders")[0][0])


def prepare(server: MySQLServer) -> None:
    """Give the server what the stack's has: the schema, the accounts and their files."""
    users = _module(REPOSITORY / "deploy" / "secrets" / "users.py")
    for statement in users.users_sql(dict.fromkeys(users.NAMES, server.password)).splitlines():
        server.query(statement)
    migrate(server.url("orders").replace("//orders:", "//migrator:"))
    cnf = f"[client]\nuser=backup\npassword={server.password}\nhost=127.0.0.1\nprotocol=tcp\n"
    for name, text in (("backup.cnf", cnf), ("root_password", server.root_password)):
        put = f"mkdir -p /run/secrets && cat > /run/secrets/{name}"
        subprocess.run(
            ["docker", "exec", "--interactive", "--user=root", server.name, "sh", "-c", put],
            check=True,
            input=text,
            text=True,
            timeout=30,
        )


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec, path
    assert spec.loader, path
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Writer:
    """Inserts orders one by one until told to stop, and knows when each was committed."""

    def __init__(self, server: MySQLServer, first_id: int) -> None:
        self._server = server
        self._first_id = first_id
        self._stopping = threading.Event()
        self.acknowledged: list[tuple[int, datetime]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection = self._server._connect("root", self._server.root_password, read_timeout=60)
        with connection, connection.cursor() as cursor:
            for order_id in range(self._first_id, self._first_id + MOST_ROWS):
                cursor.execute(ORDER, [order_id])
                self.acknowledged.append((order_id, datetime.now(UTC)))
                if self._stopping.wait(0.002):
                    return


@contextmanager
def writing(server: MySQLServer, first_id: int) -> Iterator[Writer]:
    """Write meanwhile."""
    writer = Writer(server, first_id)
    writer._thread.start()
    try:
        yield writer
    finally:
        writer._stopping.set()
        writer._thread.join(60)
