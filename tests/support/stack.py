"""The container stack as users start it: a fresh checkout, Compose, and requests from outside."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import urllib3

from tests.support.docker import SECONDS, docker
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.service_process import REPOSITORY, Client

DEVELOPMENT_PASSWORD = "securepassword"
ONE_SHOTS = ("secrets", "certificates", "migrate")
SERVERS = ("mysql", "app", "nginx")
# Finds the process that PID 1, Docker's small init, was started for.
MAIN_PROCESS = "$(cat /proc/1/task/1/children)"
# No two tests of a session post the same order.
ORDER_IDS = itertools.count(1_000_001)


def accesses(log: list[str], field: str, value: str) -> list[dict[str, str]]:
    """Return the lines of nginx's log, parsed, whose field has this value."""
    lines = (json.loads(line) for line in log if value in line)
    return [line for line in lines if line[field] == value]


class Stack:
    """One Compose project of its own name, on free ports of the loopback address."""

    password = DEVELOPMENT_PASSWORD

    def __init__(self, checkout: Path, **settings: str) -> None:
        self.checkout = checkout
        self.project = f"orders-stack-{secrets.token_hex(4)}"
        self.http_port, self.https_port = free_port(), free_port()
        self.prometheus_port = free_port()
        self.ca = checkout / f"{self.project}-ca.crt"
        self.settings = settings

    @property
    def host(self) -> str:
        """Where it is published."""
        return self.settings.get("BIND_ADDRESS") or "localhost"

    def up(self) -> Self:
        """Start everything, wait until it is ready, and fetch the authority to verify with."""
        self.compose("up", "-d", "--build", "--wait")
        self.compose("cp", "nginx:/etc/nginx/certificates/ca.crt", str(self.ca))
        return self

    def configure(self, **settings: str) -> None:
        """Have it run with these settings and no others."""
        if settings != self.settings:
            self.settings = settings
            self.up()

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` and return what it wrote to its standard output."""
        result = self.try_compose(*arguments)
        assert result.returncode == 0, (
            f"docker compose {' '.join(arguments)} failed:\n{result.stderr[-3000:]}\n{self.logs()}"
        )
        return result.stdout

    def try_compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose`, whatever comes of it."""
        own = {
            "COMPOSE_PROJECT_NAME": self.project,
            "HTTP_PORT": str(self.http_port),
            "HTTPS_PORT": str(self.https_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            # Two runs at once must not build each other's image.
            "RELEASE": self.project,
        }
        return subprocess.run(
            ["docker", "compose", *arguments],
            capture_output=True,
            check=False,
            cwd=self.checkout,
            env=os.environ | own | self.settings,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
        )

    def shell(self, service: str, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script in a running container, as its own user."""
        return self.try_compose("exec", "-T", service, "sh", "-c", script)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a one-off container: `run("-e", "NAME=value", "certificates")`."""
        return self.try_compose("run", "--rm", "--no-deps", "-T", *arguments)

    def logs(self, *services: str) -> str:
        """Return the end of the containers' logs."""
        return self.try_compose("logs", "--no-color", "--tail", "40", *services).stdout

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, ended ones too."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what `docker inspect` says about the service's first container."""
        described: list[dict[str, Any]] = json.loads(docker("inspect", self.containers(service)[0]))
        return described[0]

    def stop(self, service: str) -> None:
        """Stop a service's containers in good order."""
        docker("stop", *self.containers(service))

    def start(self, service: str) -> None:
        """Start them again, and nothing that they depend on."""
        docker("start", *self.containers(service))

    def kill9_main_process(self, service: str) -> None:
        """Kill the process of a service's first container, and wait for Docker's restart."""
        before = self.inspect(service)["RestartCount"]
        # The container ends with the process, often before this command can answer.
        self.shell(service, f"kill -9 {MAIN_PROCESS}")
        wait_until(
            lambda: self.inspect(service)["RestartCount"] > before, 60, f"{service}'s restart", 0.2
        )

    def wait_until_serving(self) -> None:
        """Wait until requests reach MySQL."""
        client = self.client()

        def serves() -> bool:
            try:
                return client.get("/metrics").status == 200
            except urllib3.exceptions.HTTPError:
                return False

        wait_until(serves, 90, "an answer out of MySQL", every=0.2)

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

    def accesses(self, field: str, value: str) -> list[dict[str, str]]:
        """Return nginx's lines, parsed, whose field has this value."""
        return accesses(self.access_log(), field, value)

    def run_in_app(self, script: str) -> str:
        """Run Python in a container of the service and return what it printed."""
        return self.compose("exec", "-T", "app", "python", "-c", script).strip()

    def secret(self, service: str, name: str) -> str:
        """Return a secret as the service's own container reads it."""
        return self.compose("exec", "-T", service, "cat", f"/run/secrets/{name}")

    def client(self) -> StackClient:
        """Return a client that verifies the certificate with the generated authority."""
        return StackClient(self.https_port, self.ca, self.host)

    def down(self) -> None:
        """Remove the containers; the volumes stay."""
        self.compose("down", "--timeout", "60")

    def close(self) -> None:
        """Remove everything, the volumes too."""
        profiles = ("--profile=worker", "--profile=monitoring", "--profile=acme")
        self.try_compose(*profiles, "down", "--volumes", "--timeout", "0")
        for name in ("order-service", "order-service-acme"):
            subprocess.run(
                ["docker", "image", "rm", f"{name}:{self.project}"],
                capture_output=True,
                check=False,
                timeout=SECONDS,
            )


class StackClient(Client):
    """The service tests' client, over TLS."""

    def __init__(
        self, port: int, ca: Path, host: str = "localhost", password: str = DEVELOPMENT_PASSWORD
    ) -> None:
        self.authorization = urllib3.make_headers(basic_auth=f"admin:{password}")
        self._pool = urllib3.HTTPSConnectionPool(
            host, port, maxsize=64, retries=False, timeout=30, ca_certs=str(ca)
        )


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
    # The lab has its images by their tags: stand-ins have no digest that a registry knows.
    compose = folder / "docker-compose.yml"
    compose.write_text(re.sub(r"@sha256:[0-9a-f]{64}", "", compose.read_text()))
    return folder


@contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[Stack]:
    """Give a started stack of its own, and leave nothing of it."""
    stack = Stack(fresh_checkout(folder), **settings)
    try:
        yield stack.up()
    finally:
        stack.close()
