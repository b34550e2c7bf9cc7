"""The servers under test, as they are run in production: two worker processes each."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

import urllib3

from bench.database import SERVICE_BIN, OrderDatabase
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import Process

WORKERS = 2
START_SECONDS = 60.0
NOOP_HANDLER = "tests.support.order_handlers:noop"


@dataclass(frozen=True)
class Credentials:
    """What the servers are told and the load is sent with; made anew for each run."""

    username: str = "bench"
    password: str = ""

    @classmethod
    def make(cls) -> Credentials:
        """Return new ones."""
        return cls(password=secrets.token_hex(16))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tell a server."""
        return {"AUTH_USERNAME": self.username, "AUTH_PASSWORD": self.password}

    @property
    def authorization(self) -> str:
        """The header that a client sends."""
        headers = urllib3.make_headers(basic_auth=f"{self.username}:{self.password}")
        return headers["authorization"]


class WebServer(Process):
    """A server on a port of its own; started means that `/ping` is answered."""

    def __init__(
        self, arguments: list[str], directory: Path, environment: dict[str, str], port: int
    ) -> None:
        super().__init__(arguments, directory, environment)
        self.port = port

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> WebServer:
        """Start it and wait until it serves."""
        super().start()
        wait_until(self._serves, START_SECONDS, f"an answer of {self.url}")
        return self

    def close(self) -> None:
        """Stop it in good order, so that no worker is left to be reaped, or else by force."""
        if self._popen is not None and self._popen.poll() is None:
            with suppress(TimeoutExpired):
                self.stop()
        super().close()

    def _serves(self) -> bool:
        if self.popen.poll() is not None:
            raise AssertionError(f"the server ended instead of starting:\n{self.log}")
        return answers(f"{self.url}/ping")


def answers(url: str, ca: Path | None = None) -> bool:
    """Return whether the address answers with 200."""
    try:
        with urllib3.PoolManager(retries=False, timeout=5, ca_certs=ca and str(ca)) as pool:
            return pool.request("GET", url).status == 200  # noqa: PLR2004
    except urllib3.exceptions.HTTPError:
        return False


def service_environment(
    database: OrderDatabase, credentials: Credentials, **settings: object
) -> dict[str, str]:
    """Return the environment of the service in production, with the given settings changed."""
    values: dict[str, object] = {
        "APP_ENV": "production",
        "DATABASE_URL": database.url,
        "ORDER_HANDLER": NOOP_HANDLER,
        **credentials.environment,
        **settings,
    }
    return {name: str(value) for name, value in values.items()}


def service(
    database: OrderDatabase, credentials: Credentials, directory: Path, **settings: object
) -> WebServer:
    """Return this service, its processor off unless the settings say otherwise."""
    gunicorn = [str(SERVICE_BIN / "gunicorn"), "--config", "service/server/gunicorn.conf.py"]
    return _serve_with(gunicorn, database, credentials, directory, settings)


def granian(database: OrderDatabase, credentials: Credentials, directory: Path) -> WebServer:
    """Return the peer that is this service on Granian, its processor off."""
    python = [sys.executable, "-m", "bench.peers.granian_server"]
    return _serve_with(python, database, credentials, directory, {})


def _serve_with(
    command: list[str],
    database: OrderDatabase,
    credentials: Credentials,
    directory: Path,
    settings: Mapping[str, object],
) -> WebServer:
    port = free_port()
    values = {"PORT": port, "WEB_CONCURRENCY": WORKERS, "PROCESSOR_THREADS": 0, **settings}
    environment = service_environment(database, credentials, **values)
    return WebServer(command, directory, environment, port)


def fastapi(database: OrderDatabase, credentials: Credentials, directory: Path) -> WebServer:
    """Return the FastAPI peer."""
    port = free_port()
    return WebServer(
        [
            str(Path(sys.executable).parent / "uvicorn"),
            "bench.peers.fastapi_app:app",
            *(f"--host={HOST}", f"--port={port}", f"--workers={WORKERS}"),
            *("--loop=uvloop", "--http=httptools"),
        ],
        directory,
        {"DATABASE_URL": database.url, **credentials.environment},
        port,
    )


def naive(database: OrderDatabase, credentials: Credentials, directory: Path) -> WebServer:
    """Return the naive peer, without its processor; like the others, without TLS to MySQL."""
    port = free_port()
    environment = {
        "DATABASE_URL": f"{database.url}?ssl_disabled=true",
        "PROCESSOR": "off",
        **credentials.environment,
    }
    table = Process(
        [str(SERVICE_BIN / "python"), "-m", "bench.peers.naive"], directory, environment
    )
    with table.start():
        assert table.popen.wait(START_SECONDS) == 0, table.log  # noqa: S101
    return WebServer(
        [
            str(SERVICE_BIN / "gunicorn"),
            *("--bind", f"{HOST}:{port}", "--workers", str(WORKERS), "bench.peers.naive:app"),
        ],
        directory,
        environment,
        port,
    )
