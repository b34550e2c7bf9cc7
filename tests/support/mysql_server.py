"""A real MySQL server for tests: started, stalled, killed and started again at will."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import pymysql

from tests.support.docker import DockerError, docker
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port

IMAGE = "mysql:9.7"
USER = "orders"
PID_FILE = "/var/run/mysqld/mysqld.pid"
SERVER_ARGS = (
    "--innodb-flush-log-at-trx-commit=1",
    "--sync-binlog=1",
    "--max-connections=300",
    f"--pid-file={PID_FILE}",
)
START_SECONDS = 120.0
STOP_SECONDS = 30.0


class MySQLServerError(DockerError):
    """A server did not do what a test asked of it; says what MySQL answered."""


def docker_available() -> str | None:
    """Tell why no server can be started here, or None if one can."""
    if shutil.which("docker") is None:
        return "there is no docker client: run `make lab`"
    try:
        docker("version")
    except DockerError as error:
        return f"no Docker engine answers: run `make lab` ({error})"
    return image_missing(IMAGE)


def image_missing(image: str) -> str | None:
    """Tell that the engine lacks the image, or None if it has it."""
    try:
        docker("image", "inspect", image)
    except DockerError:
        return f"the image {image} is missing: run `make lab`"
    return None


class MySQLServer:
    """A real MySQL 9.7 in a container of the lab's engine, published on a loopback port.

    Its data lies in a volume of its own, on disk: what is synced is synced.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.host = HOST
        self.port = port
        self.root_password = secrets.token_hex(16)
        self.password = secrets.token_hex(16)

    @classmethod
    def start(cls, name: str | None = None, extra_args: Sequence[str] = ()) -> Self:
        """Start a server on a fresh volume and wait until it takes the application's user."""
        server = cls.begin(name, extra_args)
        try:
            server.wait_until_ready()
        except BaseException:
            server.close()
            raise
        return server

    @classmethod
    def begin(cls, name: str | None = None, extra_args: Sequence[str] = ()) -> Self:
        """Start a server on a fresh volume, which takes it some seconds, without waiting."""
        server = cls(name or f"orders-mysql-{secrets.token_hex(4)}", free_port())
        # A name that is in use is somebody else's server: nothing to close.
        server._create(extra_args)
        try:
            docker("start", server.name)
        except BaseException:
            server.close()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str) -> str:
        """Return the DATABASE_URL of the application's user."""
        return f"mysql+pymysql://{USER}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database that the application's user may do anything in."""
        name = f"orders_{secrets.token_hex(6)}"
        self.query(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        self.query(f"GRANT ALL ON `{_pattern(name)}`.* TO {USER}@'%'")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database of create_database, and what was granted on it."""
        self.query(f"DROP DATABASE IF EXISTS `{name}`")
        self.query(f"REVOKE IF EXISTS ALL ON `{_pattern(name)}`.* FROM {USER}@'%'")

    def query(
        self,
        sql: str,
        args: Sequence[object] | Mapping[str, object] | None = None,
        *,
        database: str | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement as root and return its rows."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())

    def connect(
        self, database: str | None = None
    ) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        """Return a connection as root, for many statements."""
        return self._connect("root", self.root_password, database=database, read_timeout=60)

    def global_status(self, name: str) -> int:
        """Return one of the server's counters."""
        rows = self.query("SHOW GLOBAL STATUS WHERE Variable_name = %s", [name])
        if not rows:
            raise MySQLServerError(f"{IMAGE} has no status variable {name!r}")
        return int(rows[0][1])

    def kill9(self) -> None:
        """Kill mysqld with SIGKILL, as a crash does, and wait until it is gone."""
        # The container ends with mysqld, often before this command can answer.
        with suppress(DockerError):
            docker("exec", "--user=0", self.name, "bash", "-c", f"kill -9 $(<{PID_FILE})")
        wait_until(lambda: not self.running(), STOP_SECONDS, "the end of mysqld")

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        docker("pause", self.name)

    def unpause(self) -> None:
        """End a pause."""
        docker("unpause", self.name)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Refuse the application's writes meanwhile, as a replica does."""
        self.query("SET GLOBAL read_only = ON")
        try:
            yield
        finally:
            self.query("SET GLOBAL read_only = OFF")

    def stop(self) -> None:
        """Shut the server down in good order."""
        docker("stop", f"--time={STOP_SECONDS:.0f}", self.name)

    def start_again(self) -> None:
        """Start a stopped or killed server with the same data on the same port."""
        docker("start", self.name)
        self.wait_until_ready()

    def close(self) -> None:
        """Remove the server and its data; quietly when they are gone already."""
        # Some engines cannot end what is frozen.
        with suppress(DockerError):
            self.unpause()
        try:
            docker("rm", "--force", "--volumes", self.name)
        except DockerError as error:
            if "no such container" not in str(error).lower():
                raise

    def running(self) -> bool:
        """Return whether the container runs."""
        return docker("inspect", "--format={{.State.Running}}", self.name) == "true"

    def wait_until_ready(self) -> None:
        """Wait until the application's user can log in over TCP."""
        last_error: Exception | None = None

        def ready() -> bool:
            nonlocal last_error
            try:
                self._connect(USER, self.password, connect_timeout=2, read_timeout=2).close()
            except (OSError, pymysql.MySQLError) as error:
                last_error = error
            else:
                return True
            if not self.running():
                raise MySQLServerError(f"{self.name} ended instead of starting:\n{self.logs()}")
            return False

        try:
            wait_until(ready, START_SECONDS, f"a login of {USER} on {self.host}:{self.port}")
        except AssertionError as late:
            raise MySQLServerError(f"{late} ({last_error}):\n{self.logs()}") from None

    def logs(self, lines: int = 20) -> str:
        """Return the end of the server's log."""
        return docker("logs", f"--tail={lines}", self.name, errors_too=True)

    def _create(self, server_args: Sequence[str]) -> None:
        # An init process as number 1 lets mysqld itself be killed from inside, and
        # passwords in the environment stay out of process lists.
        network, listening = self._network()
        docker(
            "create",
            "--init",
            "--restart=no",
            f"--name={self.name}",
            *network,
            "--env=MYSQL_ROOT_PASSWORD",
            "--env=MYSQL_USER",
            "--env=MYSQL_PASSWORD",
            IMAGE,
            *SERVER_ARGS,
            *listening,
            *server_args,
            env={
                "MYSQL_ROOT_PASSWORD": self.root_password,
                "MYSQL_USER": USER,
                "MYSQL_PASSWORD": self.password,
            },
        )

    def _network(self) -> tuple[list[str], list[str]]:
        """Return what makes the server reachable: Docker's options and mysqld's."""
        return [f"--publish={self.host}:{self.port}:3306"], []

    def _connect(
        self, user: str, password: str, **options: Any
    ) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=user,
            password=password,
            autocommit=True,
            **{"connect_timeout": 10, **options},
        )


def _pattern(database: str) -> str:
    """Name a database in a grant, where _ stands for any character."""
    return database.replace("_", r"\_")
