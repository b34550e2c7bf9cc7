"""One of the real MySQL servers of a group: asked, killed, frozen and cut off at will."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.docker import DockerError, docker

PORT = 3306


class Member:
    """One server of the group."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name, self.address, self.folder = name, address, folder

    @property
    def server(self) -> str:
        """Its `address:port`."""
        return f"{self.address}:{PORT}"

    def query(self, sql: str) -> list[list[str]]:
        """Run statements as root, inside; return the rows as text.

        Raises:
            DockerError: MySQL refuses, or does not run.
        """
        client = ["mysql", "--defaults-extra-file=/run/secrets/root.cnf", "--batch"]
        said = docker("exec", self.name, *client, "--skip-column-names", f"--execute={sql}")
        return [line.split("\t") for line in said.splitlines()]

    def is_up(self) -> bool:
        """Return whether root can log in."""
        with suppress(DockerError):
            return self.query("SELECT 1") == [["1"]]
        return False

    def kill(self) -> None:
        """Kill mysqld with SIGKILL, as a crash does; Docker starts it again."""
        docker("exec", "--user=0", self.name, "bash", "-c", "kill -9 $(pidof mysqld)")

    def freeze(self) -> None:
        """Have nothing of it go on, until `thaw`."""
        docker("pause", self.name)

    def thaw(self) -> None:
        """Let it go on."""
        docker("unpause", self.name)

    def cut(self) -> None:
        """Have no packet reach it, nor leave it, until `mend`: no connection is ended."""
        self._filter("-I")

    def mend(self) -> None:
        """Let packets pass again."""
        self._filter("-D")

    def _filter(self, action: str) -> None:
        process = docker("inspect", "--format={{.State.Pid}}", self.name)
        for chain, interface in (("INPUT", "-i"), ("OUTPUT", "-o")):
            rule = ["iptables", action, chain, "!", interface, "lo", "-j", "DROP"]
            subprocess.run(["nsenter", "-t", process, "-n", *rule], check=True, timeout=30)

    def stop(self) -> None:
        """Shut it down in good order; it takes up to a minute where it is the primary."""
        docker("stop", "--time=60", self.name)

    def start(self) -> None:
        """Start it again."""
        docker("start", self.name)
