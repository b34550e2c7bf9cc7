"""The folders of the stack's secrets, and the program that fills them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.service_process import REPOSITORY

PROGRAM = REPOSITORY / "deploy" / "secrets" / "make_secrets.py"
ACCOUNTS = ("migrator", "service", "backup", "root")


class Volumes:
    """The folders that the program fills, with a group that anyone may give files to: one's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = folder / "own"
        for name in ("mysql", "migrate", "service", "monitoring", "grafana", "own"):
            (folder / name).mkdir()

    def make(self, *arguments: str, address: str = "0.0.0.0", **settings: str) -> set[str]:  # noqa: S104
        """Run the program; return the names of what it made or changed."""
        given = settings | {
            "VOLUMES": str(self.folder),
            "OWN_SECRETS": str(self.own),
            "MYSQL_GROUP": str(os.getgid()),
            "MONITORING_GROUP": str(os.getgid()),
            "GRAFANA_GROUP": str(os.getgid()),
            "BIND_ADDRESS": address,
        }
        run = subprocess.run(
            [sys.executable, PROGRAM, *arguments],
            capture_output=True,
            check=True,
            env=os.environ | given,
            text=True,
        )
        return set(re.findall(r"^secrets: (?:made|changed) (\S+)$", run.stdout, re.MULTILINE))

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def passwords(self, suffix: str = "") -> dict[str, str]:
        return {name: self.read(f"mysql/{name}_password{suffix}") for name in ACCOUNTS}

    def assert_consistent(self) -> None:
        """Each form of a password is of the same one."""
        passwords = self.passwords()
        for name, password in passwords.items():
            assert f"password={password}\n" in self.read(f"mysql/{name}.cnf")
        for statements in ("users.sql", "users.live.sql"):
            for name in ("migrator", "service", "backup"):
                assert self.read(f"mysql/{statements}").count(f"BY '{passwords[name]}'") == 2
        assert f"service:{passwords['service']}@" in self.read("service/database_url")
        assert f"migrator:{passwords['migrator']}@" in self.read("migrate/database_url")
