"""Hosts that share one database: each a container of the service's image, with its share of a core.

Real hosts have processors of their own. These have one machine's, so each gets so little of it that
all of them together, MySQL and the load leave some of it idle.
"""

from __future__ import annotations

import secrets
from typing import Self

from bench.servers import START_SECONDS, answers
from tests.support.docker import DockerError, docker
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import REPOSITORY

IMAGE = "order-service:bench"
CORES = 0.25
GUNICORN = ("gunicorn", "--config", "service/server/gunicorn.conf.py")
PROCESSOR = ("flask", "process-orders")
# Nanoseconds that a container has used, by control groups of either version.
_USED = (
    "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null"
    r" || sed -n 's/^usage_usec \(.*\)/\1000/p' /sys/fs/cgroup/cpu.stat"
)


def build() -> None:
    """Build the image of this checkout."""
    docker("build", "--quiet", f"--tag={IMAGE}", str(REPOSITORY))


class Host:
    """A container on the machine's own loopback that runs a web server, or a processor alone."""

    def __init__(self, command: tuple[str, ...], environment: dict[str, str]) -> None:
        self.name = f"orders-bench-host-{secrets.token_hex(4)}"
        self.port = free_port()
        port = "PORT" if command is GUNICORN else "METRICS_PORT"
        self._command, self._environment = command, environment | {port: str(self.port)}

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{HOST}:{self.port}"

    def limit(self) -> Self:
        """Give it no more than its share from now on: its start is not what is measured."""
        docker("update", f"--cpus={CORES}", self.name)
        return self

    def __enter__(self) -> Self:
        names = [f"--env={name}" for name in self._environment]
        started = ("run", "--detach", "--network=host", "--tmpfs=/tmp", f"--name={self.name}")
        docker(*started, *names, IMAGE, *self._command, env=self._environment)
        try:
            wait_until(self._serves, START_SECONDS, f"{self.name} serves", every=0.2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self.name)

    def _serves(self) -> bool:
        if docker("inspect", "--format={{.State.Running}}", self.name) != "true":
            raise DockerError(f"{self.name} ended: {docker('logs', self.name, errors_too=True)}")
        return answers(f"{self.url}/healthz")


def processor_seconds(container: str) -> float:
    """Return how many seconds of a core a container has used."""
    return int(docker("exec", container, "sh", "-c", _USED)) / 1e9
