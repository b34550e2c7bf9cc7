"""A MySQL server of the lab that has what the stack's has, and the programs that look after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pymysql
from order_service.secrets.database_accounts import ACCOUNTS
from sqlalchemy import make_url

from tests.support.databases import migrate
from tests.support.docker import DockerError, docker
from tests.support.mysql_server import MySQLServer
from tests.support.service_process import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
PROGRAMS = REPOSITORY / "tests" / "programs"
SECONDS = 300


class DatabaseHost:
    """The accounts, their files and the schema; each test may change them with the programs."""

    def __init__(self, server: MySQLServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.volumes = folder / "volumes"
        for name in ("mysql", "migrate", "service"):
            (self.volumes / name).mkdir(parents=True)
        # Else another one would be made, which the server does not know.
        (self.volumes / "mysql" / "root_password").write_text(server.root_password)
        self._make_secrets()
        self.restart()
        self.migrate()

    def _make_secrets(self) -> None:
        program = DEPLOY / "secrets" / "make_secrets.py"
        environment = {"VOLUMES": str(self.volumes), "MYSQL_GROUP": str(os.getgid())}
        subprocess.run(
            [sys.executable, program], check=True, env=os.environ | environment, timeout=60
        )
        docker("exec", "--user=root", self.server.name, "mkdir", "-p", "/run/secrets")
        docker("cp", f"{self.volumes / 'mysql'}/.", f"{self.server.name}:/run/secrets")

    def restart(self) -> None:
        """Run what MySQL runs at each start, its `init_file`."""
        self.tell("users.sql")

    def tell(self, file: str) -> None:
        """Run the statements in one of MySQL's files."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            for statement in self.read(f"mysql/{file}").splitlines():
                cursor.execute(statement)

    def migrate(self) -> None:
        """Bring the schema to what this release needs, as the account that may do so."""
        url = make_url((self.volumes / "migrate" / "database_url").read_text())
        there = url.set(host=self.server.host, port=self.server.port, query={})
        migrate(there.render_as_string(hide_password=False))

    def empty(self) -> None:
        """Remove all orders, also where a test has left no table of them."""
        tables = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'orders'"
        if not self.server.query(f"{tables} AND TABLE_NAME = 'orders'"):
            self.server.query("DROP DATABASE IF EXISTS orders")
            self.server.query("CREATE DATABASE orders CHARACTER SET utf8mb4")
            self.migrate()
        self.server.query("DELETE FROM orders.orders")

    def passwords(self) -> dict[str, str]:
        """Return the password of each account, as the files have it."""
        return {name: self.read(f"mysql/{name}_password") for name in ACCOUNTS}

    def read(self, name: str) -> str:
        """Return what a file of the secrets has."""
        return (self.volumes / name).read_text()

    def may_log_in(self, account: str, password: str) -> bool:
        """Return whether MySQL takes the password."""
        try:
            if account == "root":
                # Only from inside.
                client = ["mysql", "--user=root", "--protocol=socket", "--execute=DO 1"]
                docker("exec", f"--env=MYSQL_PWD={password}", self.server.name, *client)
            else:
                pymysql.connect(
                    host=self.server.host, port=self.server.port, user=account, password=password
                ).close()
        except (DockerError, pymysql.OperationalError) as problem:
            if "Access denied" not in str(problem):
                raise
            return False
        return True


class CredentialsHost:
    """The program as on a host, beside a rollout that only lets the service begin anew."""

    def __init__(self, database: DatabaseHost, folder: Path) -> None:
        self.database, self.folder = database, folder
        library, binaries = folder / "lib", folder / "bin"
        shutil.copytree(DEPLOY / "host", library, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROGRAMS / "rollout_stub.py", library / "order_service/release/rollout.py")
        for name in ("bin", "run", "state", "stack", "upstream"):
            (folder / name).mkdir()
        shutil.copy(PROGRAMS / "docker.sh", binaries / "docker")
        (binaries / "docker").chmod(0o755)
        (folder / "stack" / ".env").touch()
        (folder / "upstream" / "server.conf").write_text("server 192.168.213.10:5000;")
        (folder / "state" / "ledger.json").write_text('{"active": "old", "releases": []}')
        self._environment = os.environ | {
            "DOCKER": shutil.which("docker") or "docker",
            "PYTHON": sys.executable,
            "SECRETS_PROGRAM": str(DEPLOY / "secrets" / "make_secrets.py"),
            "MYSQL_GROUP": str(os.getgid()),
            "MYSQL": database.server.name,
            "VOLUMES": str(database.volumes),
            "ORDER_SERVICE_ROOT": str(folder),
            "ORDER_SERVICE_RUN": str(folder / "run"),
            "ORDER_SERVICE_UNIT": "",
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        }
        # The service runs with what is in the files by now.
        subprocess.run(
            [sys.executable, library, "rollout"], check=True, env=self._environment, timeout=60
        )

    def run(self, *arguments: str, **cut: str) -> subprocess.CompletedProcess[str]:
        """Run `credentials`, whatever comes of it.

        Args:
            arguments: its command line.
            cut: CUT, a part of a command that it gives, and CUT_WHEN, `before` or `after` that: it
                is killed there.
        """
        return subprocess.run(
            [sys.executable, self.folder / "lib", "credentials", *arguments],
            capture_output=True,
            check=False,
            env=self._environment | cut,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
        )

    def must(self, *arguments: str) -> str:
        """Run `credentials`; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{done.stdout}"
        return done.stdout

    @property
    def served_with(self) -> str:
        """The password that the service has read, at its start."""
        password = make_url(self.database.read("in_use")).password
        assert password
        return str(password)

    def left_over(self) -> list[str]:
        """Return what only a change that is under way needs."""
        folders = (self.folder / "state", self.database.volumes / "mysql")
        names = [path.name for folder in folders for path in folder.iterdir()]
        return [name for name in names if ".next" in name or name == "rotation.json"]
