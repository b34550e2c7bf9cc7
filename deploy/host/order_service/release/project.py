"""Compose projects on the host: that of MySQL and nginx here, one for each colour in `colours`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from order_service.host import STACK, run

BASE_FILES = (Path("docker-compose.yml"), Path("deploy/host/base.yml"))


@dataclass(frozen=True)
class Project:
    """A Compose project, as its files and settings describe it."""

    name: str
    files: tuple[Path, ...]
    settings: Path
    # What relative paths in the files begin with.
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    # What containers read at their start only.
    configuration: Path | None = None

    def compose(self, *arguments: str, seconds: float = 120) -> str:
        """Run `docker compose` on it.

        Raises:
            CommandError: it failed.
        """
        files = [part for file in self.files for part in ("-f", str(file))]
        where = ["--project-directory", str(self.directory), "--env-file", str(self.settings)]
        return run(
            ["docker", "compose", "-p", self.name, *where, *files, *arguments],
            seconds=seconds,
            env={"COMPOSE_FILE": "", **self.environment},
        )

    def services(self) -> dict[str, Any]:
        """Return its services as Compose understands them, with the networks that they are in."""
        rendered: dict[str, Any] = json.loads(self.compose("config", "--format", "json"))
        services: dict[str, dict[str, Any]] = rendered["services"]
        for service in services.values():
            # Compose replaces a network by stopping what is in it.
            own = service.get("networks") or {}
            service["described_networks"] = [rendered["networks"][name] for name in own]
        return services

    def copied(self, folder: Path) -> Project:
        """Return it with all that it reads from the folder, where it was copied to."""
        return replace(
            self,
            files=tuple(folder / file.name for file in self.files),
            settings=folder / self.settings.name,
            configuration=self.configuration and folder / self.configuration.name,
        )

    def has(self, other: Project) -> bool:
        """Return whether files and settings are the same to the byte."""
        pairs = zip((*self.files, self.settings), (*other.files, other.settings), strict=True)
        return all(mine.read_bytes() == theirs.read_bytes() for mine, theirs in pairs)

    def configured(self) -> dict[str, bytes]:
        """Return what containers read at their start only, by file."""
        found = self.configuration.rglob("*") if self.configuration else ()
        return {path.name: path.read_bytes() for path in found if path.is_file()}


def base(folder: Path, release: str, mounted: Path | None = None) -> Project:
    """Return the project of MySQL and nginx, which outlives releases.

    Args:
        folder: has the Compose files.
        release: whose image the one-shots have.
        mounted: the folder whose files the containers see, if it is not the stack's.
    """
    return Project(
        name="order-service",
        files=tuple(folder / file for file in BASE_FILES),
        settings=STACK / ".env",
        directory=mounted or STACK,
        environment={"RELEASE": release},
    )
