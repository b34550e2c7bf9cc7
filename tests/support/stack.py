"""The container stack as users start it: a fresh checkout, Compose, and requests from outside."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import urllib3

from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.service_process import REPOSITORY, Client

DEVELOPMENT_PASSWORD = "securepassword"
ONE_SHOTS = ("secrets", "certificates", "migrate")
SERVERS = ("mysql", "app", "nginx")
# Finds the process that PID 1, Docker's small init, was started for.
MAIN_PROCESS = "$(cat /proc/1/task/1/children)"


class Stack:
    """One Compose project of its own name, on free ports of the loopback address."""

    host = "localhost"
    password = DEVELOPMENT_PASSWORD

    def __init__(self, checkout: Path, **settings: str) -> None:
        self.checkout = checkout
        self.project = f"orders-e2e-{secrets.token_hex(4)}"
        self.http_port, self.https_port = free_port(), free_port()
        self.ca = checkout / f"{self.project}-ca.crt"
        self.environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "HTTP_PORT": str(self.http_port),
            "HTTPS_PORT": str(self.https_port),
            # Two runs at once must not build each other's image.
            "RELEASE": self.project,
            **settings,
        }

    def up(self, *arguments: str) -> Self:
        """Start everything, wait until it is ready, and fetch the authority to verify with."""
        self.compose("up", "-d", "--wait", *arguments, seconds=600)
        self.compose("cp", "nginx:/etc/nginx/certificates/ca.crt", str(self.ca))
        return self

    def compose(self, *arguments: str, seconds: float = 180) -> str:
        """Run `docker compose` and return what it wrote to its standard output."""
        result = self.try_compose(*arguments, seconds=seconds)
        assert result.returncode == 0, (
            f"docker compose {' '.join(arguments)} failed:\n{result.stderr[-3000:]}\n{self.logs()}"
        )
        return result.stdout

    def try_compose(
        self, *arguments: str, seconds: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker compose`, whatever comes of it."""
        return subprocess.run(
            ["docker", "compose", *arguments],
            capture_output=True,
            check=False,
            cwd=self.checkout,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
        )

    def shell(self, service: str, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script in a running container, as its own user."""
        return self.try_compose("exec", "-T", service, "sh", "-c", script)

    def logs(self, *services: str) -> str:
        """Return the end of the containers' logs."""
        return self.try_compose("logs", "--no-color", "--tail", "40", *services).stdout

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, ended ones too."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """Return what `docker inspect` tells of a container."""
        described: list[dict[str, Any]] = json.loads(docker("inspect", container))
        return described[0]

    def kill9_main_process(self, service: str) -> None:
        """Kill the process of a service's first container, and wait until it is back."""
        container = self.containers(service)[0]
        before = self.inspect(container)["RestartCount"]
        # The container ends with the process, often before this command can answer.
        self.shell(service, f"kill -9 {MAIN_PROCESS}")
        wait_until(
            lambda: self.inspect(container)["RestartCount"] > before, 20, f"{service}'s restart"
        )
        self.wait_healthy(service)

    def wait_healthy(self, service: str, number: int = 1) -> None:
        """Wait until that many containers of the service are healthy."""

        def healthy() -> bool:
            states = [self.inspect(one)["State"] for one in self.containers(service)]
            return [state["Health"]["Status"] for state in states] == ["healthy"] * number

        wait_until(healthy, 90, f"{number} healthy containers of {service}", every=0.5)

    def query(self, sql: str, account: str = "service") -> subprocess.CompletedProcess[str]:
        """Run SQL as one of MySQL's accounts; rows are lines of tab-separated fields."""
        options = f"--defaults-extra-file=/run/secrets/{account}.cnf"
        return self.try_compose(
            "exec", "-T", "mysql", "mysql", options, "--skip-column-names", "-e", sql, "orders"
        )

    def access_log(self) -> list[str]:
        """Return nginx's line for each request."""
        text = self.compose("logs", "--no-log-prefix", "--no-color", "nginx")
        return [line for line in text.splitlines() if line.startswith("{")]

    def run_in_app(self, script: str) -> str:
        """Run Python in a container of the service and return what it printed."""
        return self.compose("exec", "-T", "app", "python", "-c", script).strip()

    def secret(self, service: str, name: str) -> str:
        """Return a secret as the service's own container reads it."""
        return self.compose("exec", "-T", service, "cat", f"/run/secrets/{name}")

    def client(self) -> StackClient:
        """Return a client that verifies the certificate with the generated authority."""
        return StackClient(self.https_port, self.ca)

    def down(self) -> None:
        """Remove the containers; the volumes stay."""
        self.compose("down", "--timeout", "60")

    def close(self) -> None:
        """Remove everything, the volumes too."""
        self.try_compose("--profile", "worker", "down", "--volumes", "--timeout", "5")
        subprocess.run(
            ["docker", "image", "rm", f"order-service:{self.project}"],
            capture_output=True,
            check=False,
            timeout=120,
        )


class StackClient(Client):
    """The integration tests' client, over TLS."""

    def __init__(
        self, port: int, ca: Path, host: str = "localhost", password: str = DEVELOPMENT_PASSWORD
    ) -> None:
        self.authorization = urllib3.make_headers(basic_auth=f"admin:{password}")
        self._pool = urllib3.HTTPSConnectionPool(
            host, port, maxsize=64, retries=False, timeout=30, ca_certs=str(ca)
        )


def docker(*arguments: str) -> str:
    """Run the Docker client and return its output."""
    return subprocess.run(
        ["docker", *arguments], capture_output=True, check=True, text=True, timeout=120
    ).stdout


def fresh_checkout(folder: Path) -> Path:
    """Copy what Git knows, or would take up: no file that was made by hand or by a run."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        cwd=REPOSITORY,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


@contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[Stack]:
    """Give a started stack of its own, and leave nothing of it."""
    stack = Stack(fresh_checkout(folder), **settings)
    try:
        yield stack.up("--build")
    finally:
        stack.close()
