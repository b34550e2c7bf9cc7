"""The program on three database hosts, each with a member of one group of real MySQL servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.mysql_group import MySQLGroup
from tests.support.mysql_member import Member
from tests.support.service_process import REPOSITORY

SECONDS = 300


class DatabaseHosts:
    """By the members, in their order: the first host is the head."""

    def __init__(self, group: MySQLGroup, folder: Path) -> None:
        self.group = group
        self._folders = [self._make(folder, member) for member in group.members]

    def run(self, member: Member, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `order-service database` on the member's host, whatever comes of it."""
        return self.python(member, str(REPOSITORY / "deploy" / "host"), "database", *arguments)

    def must(self, member: Member, *arguments: str) -> str:
        """Run it; it must succeed. Returns its last line."""
        done = self.run(member, *arguments)
        _assert_done(member, done)
        return done.stdout.splitlines()[-1]

    def deploy(self, member: Member) -> subprocess.CompletedProcess[str]:
        """Take a deployment's step for MySQL, once its container runs; prints what was changed."""
        code = "from order_service.database import bring; print(sorted(bring.bring()))"
        return self.python(member, "-c", code)

    def must_deploy(self, member: Member) -> str:
        """Take it; it must succeed. Returns the last line."""
        done = self.deploy(member)
        _assert_done(member, done)
        return done.stdout.splitlines()[-1]

    def hand_over(self, member: Member) -> None:
        """Take the step for MySQL before the member's host stops."""
        code = "from order_service.database import bring; bring.hand_over()"
        _assert_done(member, self.python(member, "-c", code))

    def record(self, member: Member) -> Path:
        """Return the file that says that the host's server has been in a group."""
        return self._folder(member) / "state" / "group.json"

    def _folder(self, member: Member) -> Path:
        return self._folders[self.group.members.index(member)]

    def python(self, member: Member, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the program's modules, as on the member's host."""
        folder = self._folder(member)
        environment = {
            "DOCKER": shutil.which("docker") or "docker",
            "MYSQL": member.name,
            "ORDER_SERVICE_ROOT": str(folder),
            "ORDER_SERVICE_RUN": str(folder),
            "ORDER_SERVICE_UNIT": "",
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY / "deploy" / "host"),
        }
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            check=False,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
        )

    def _make(self, folder: Path, member: Member) -> Path:
        number = self.group.members.index(member) + 1
        host = folder / f"host-{number}"
        for name in ("bin", "stack", "state"):
            (host / name).mkdir(parents=True)
        settings = {
            "PARTS": "database",
            "PRIVATE_ADDRESS": member.address,
            "DATABASE_SERVERS": ",".join(self.group.servers),
            "HEAD": "" if number == 1 else self.group.members[0].address,
        }
        lines = (f"{name}={value}\n" for name, value in settings.items())
        (host / "stack" / ".env").write_text("".join(lines))
        shutil.copy(REPOSITORY / "tests/programs/docker_member.sh", host / "bin" / "docker")
        return host


def _assert_done(member: Member, done: subprocess.CompletedProcess[str]) -> None:
    said = f"{done.stderr}\n{done.stdout}"
    assert done.returncode == 0, f"{member.address} {done.args[2:]}: {said}"
