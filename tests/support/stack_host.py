"""A host whose MySQL and nginx a release has started: what the next one changes about them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from order_service.host import CommandError
from order_service.release import stack

from tests.support.fake_docker import FakeDocker

ALLOWED, DRY_RUN = "allowed", "dry run"
COMPOSE, MYSQL, NGINX = (
    "docker-compose.yml", "deploy/mysql/order-service.cnf", "deploy/nginx/nginx.conf"
)  # fmt: skip
BASE, SHARED = "deploy/host/base.yml", "deploy/host/shared.yml"
FILES = (COMPOSE, MYSQL, NGINX, BASE, "deploy/mysql/mysqld.sh", SHARED)
NOTHING = "would restart: nothing"
BACKED_UP = ["before-upgrade", "restored"]


class StackHost:
    """A host on which the release `old` is in place and runs; `new` has the same files."""

    def __init__(
        self,
        root: Path,
        docker: FakeDocker,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.root, self.docker, self._capsys = root, docker, capsys
        # The backups themselves are tested with a real server.
        self.backups: list[str] = []
        for file in FILES:
            for release in ("old", "new"):
                self.write(file, f"{Path(file).name}, the same", release)
                self.write(BASE, "mounted: mysqld.sh and order-service.cnf", release)
        self.set("mysql: the same memory")
        self.deploy("old")
        docker.did.clear()

    def write(self, file: str, text: str, release: str = "new") -> None:
        """Write a file of a release's; lines are about the service that they begin with."""
        path = self.root / "releases" / release / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def set(self, setting: str) -> None:
        """Have another setting."""
        (self.root / "stack").mkdir(exist_ok=True)
        (self.root / "stack/.env").write_text(setting + "\n")

    def placed(self, file: str) -> str:
        """Return what is in place."""
        return (self.root / "stack" / file).read_text().strip()

    def run(self, action: str, *options: str, release: str = "new") -> str:
        """Take a step of a deployment; return what comes of it."""
        if action == "plan":
            self._capsys.readouterr()
            stack.plan(release, allowed=ALLOWED in options, dry_run=DRY_RUN in options)
            return self._capsys.readouterr().out.splitlines()[-1]
        if action == "place":
            return "CHANGED" if stack.place(release) else "UNCHANGED"
        started = stack.up(release)
        return f"CHANGED: started {', '.join(started)}" if started else "UNCHANGED"

    def deploy(self, release: str = "new", *options: str) -> None:
        """Do what a deployment does."""
        self.run("plan", *options, release=release)
        self.run("place", release=release)
        self.run("up", release=release)

    def refused(self, what: str) -> None:
        """Check that a plain deployment is, before anything is done."""
        with pytest.raises(CommandError, match=rf"would restart {what}: .*allow_interruption=tr"):
            self.run("plan")

    def forget(self) -> None:
        """Be as a release leaves the host that keeps nothing of what it starts."""
        shutil.rmtree(self.root / "state/started")
