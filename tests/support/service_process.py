"""The service as users run it: real processes on a real database."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import urllib3

from tests.support.polling import wait_until
from tests.support.ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
START_SECONDS = 30.0
STOP_SECONDS = 40.0
AUTHORIZATION = urllib3.make_headers(basic_auth="admin:securepassword")


class Process:
    """A process group of the service, from its start to its end; its output is in `log`.

    The program is one of this environment's, or has an absolute path. It runs in `checkout`.
    """

    def __init__(
        self,
        arguments: list[str],
        directory: Path,
        environment: Mapping[str, str],
        checkout: Path = REPOSITORY,
    ) -> None:
        self._checkout = checkout
        self._arguments = [str(BIN / arguments[0]), *arguments[1:]]
        folders = {"HOME": str(directory), "TMPDIR": str(directory)}
        self._environment = {"PATH": os.environ["PATH"], **folders, **environment}
        self._log_path = directory / f"{Path(arguments[0]).name}-{time.monotonic_ns()}.log"
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it in a process group of its own."""
        with self._log_path.open("ab") as output:
            self._popen = subprocess.Popen(
                self._arguments,
                cwd=self._checkout,
                env=self._environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The main process."""
        assert self._popen is not None, "not started"
        return self._popen

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log_path.read_text()

    def kill9_group(self) -> None:
        """Kill every process of the group at once, as a crash of the machine does."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(10)
        wait_until(lambda: not self.group(), 10, "the end of the process group")

    def group(self) -> list[int]:
        """Return the group's live processes."""
        pids = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # After the name in parentheses: state, parent, group.
                state, _, group = path.read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.popen.pid and state != "Z":
                    pids.append(int(path.parent.name))
        return pids

    def workers(self) -> list[int]:
        """Return the worker processes: the group but its main process."""
        return [pid for pid in self.group() if pid != self.popen.pid]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it in good order and return its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(STOP_SECONDS)

    def close(self) -> None:
        """Make sure that nothing of it is left."""
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Process):
    """The web server with its processor, on a free port; `limit` is a shell's `ulimit` for it."""

    def __init__(self, directory: Path, url: str, limit: object = "", **environment: object):
        self.port = free_port()
        values = {"DATABASE_URL": url, "PORT": self.port} | environment
        command = [str(BIN / "gunicorn"), "--config", "service/server/gunicorn.conf.py"]
        limited = ["/bin/bash", "-c", f'{limit}; exec "$@"', "limited", *command]
        super().__init__(
            limited if limit else command,
            directory,
            {name: str(value) for name, value in values.items()},
        )
        self.client = Client(self.port)

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        super().start()
        wait_until(self._ready, START_SECONDS, "the server's readiness")
        return self

    def connections_of(self, pid: int) -> set[int]:
        """Return the clients' ports of the connections that the process has open."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # By inode: of those on the server's port, the established ones.
        ports = {
            f"socket:[{row[9]}]": int(row[2].partition(":")[2], 16)
            for row in rows
            if int(row[1].partition(":")[2], 16) == self.port and row[3] == "01"
        }
        links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        return {ports[link] for link in links if link in ports}

    def worker_of(self, connection: socket.socket) -> int:
        """Return the worker process that serves a client's connection."""
        port = connection.getsockname()[1]
        return next(pid for pid in self.workers() if port in self.connections_of(pid))

    def _ready(self) -> bool:
        if self.popen.poll() is not None:
            raise AssertionError(f"the server ended instead of starting:\n{self.log}")
        try:
            return self.client.get("/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False


class Worker(Process):
    """A processor without a web server: `flask process-orders`."""

    def __init__(self, directory: Path, url: str, **environment: object):
        values = {"DATABASE_URL": url} | environment
        super().__init__(
            ["flask", "process-orders"],
            directory,
            {name: str(value) for name, value in values.items()},
        )


class Client:
    """An HTTP client that neither retries nor follows redirects; safe to share by threads."""

    authorization = AUTHORIZATION

    def __init__(self, port: int, connections: int = 64):
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, maxsize=connections, retries=False, timeout=30
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.close()

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """GET with the right credentials."""
        return self.send("GET", path, **headers)

    def send(self, method: str, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """Send a request without a body, with the right credentials."""
        return self._pool.request(
            method, path, headers=self.authorization | headers, redirect=False
        )

    def post(self, body: object, **headers: str) -> urllib3.BaseHTTPResponse:
        """POST the body as JSON to /orders, with the right credentials."""
        return self._pool.request(
            "POST", "/orders", json=body, headers=self.authorization | headers, redirect=False
        )
