"""Compose projects on the host: that of MySQL and nginx here, one for each colour in `colours`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from order_service.dotenv import DATABASE, database_servers, has_part
from order_service.host import STACK, run

_HOST = Path("deploy/host")
_STACK, _BASE, _COLOUR = Path("docker-compose.yml"), _HOST / "base.yml", _HOST / "colour.yml"
# Where the database is shared, and what MySQL has otherwise there.
_SHARED, _DATABASE = _HOST / "shared.yml", _HOST / "database.yml"
_NAMES = [path.name for path in (_STACK, _BASE, _COLOUR, _SHARED, _DATABASE)]


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
        """Return it as it was when it was copied to the folder, with fewer or more files say."""
        return replace(
            self,
            files=tuple(folder / name for name in _NAMES if (folder / name).exists()),
            settings=folder / self.settings.name,
            configuration=self.configuration and folder / self.configuration.name,
        )

    def has(self, other: Project) -> bool:
        """Return whether files and settings are the same to the byte."""
        mine, theirs = (
            [(path.name, path.read_bytes()) for path in (*one.files, one.settings)]
            for one in (self, other)
        )
        return mine == theirs

    def configured(self) -> dict[str, bytes]:
        """Return what containers read at their start only, by file, as far as they mount it."""
        described = "".join(file.read_text(encoding="utf-8") for file in self.files)
        found = self.configuration.rglob("*") if self.configuration else ()
        return {
            path.name: path.read_bytes()
            for path in found
            if path.is_file() and path.name in described
        }


def base(folder: Path, release: str, mounted: Path | None = None) -> Project:
    """Return the project of MySQL and nginx, which outlives releases.

    Args:
        folder: has the Compose files.
        release: whose image the one-shots have.
        mounted: the folder whose files the containers see, if it is not the stack's.
    """
    return Project(
        name="order-service",
        files=tuple(folder / file for file in base_files(folder)),
        settings=STACK / ".env",
        directory=mounted or STACK,
        environment={"RELEASE": release},
    )


def base_files(folder: Path) -> list[Path]:
    """Return the Compose files of that project on this host, below the folder."""
    own = [_DATABASE] if has_part(DATABASE) else []
    return [_STACK, _BASE, *_where_shared(folder, _SHARED, *own)]


def colour_files(folder: Path) -> list[Path]:
    """Return the Compose files of a place for the service, below the folder."""
    return [_STACK, _COLOUR, *_where_shared(folder, _SHARED)]


def _where_shared(folder: Path, *files: Path) -> list[Path]:
    """Leave out what the folder lacks: a release to go back to may be older than these files."""
    return [file for file in files if database_servers() and (folder / file).exists()]
