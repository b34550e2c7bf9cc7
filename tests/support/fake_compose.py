"""Docker Compose without an engine: what it makes of the files of a release."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.fake_engine import AS_WANTED, Complaint, FakeEngine


class FakeCompose(FakeEngine):
    """Starts the services of a release, and runs its one-shots."""

    def __init__(self) -> None:
        super().__init__()
        # Of Compose's files: the services of a colour, and what differs from what runs.
        self.services = ["app"]
        self.hashes: dict[str, str] = {}
        # What the health checks of those say that are started from now on, and where they answer,
        # by the middle of their names.
        self.healths: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        # What becomes of the one-shot `secrets`, with its arguments and its environment.
        self.make_secrets: Callable[[list[str], dict[str, str]], str] = lambda *_: ""
        # The service's commands, in the one-shot `migrate`.
        self.flask: Callable[[list[str]], str] = lambda _: ""
        # The client of an ACME authority, with what it is given.
        self.acme: Callable[[list[str]], str] = lambda _: ""

    def _compose(self, given: list[str], env: dict[str, str]) -> str:
        project = given[given.index("-p") + 1].removeprefix("order-service").strip("-")
        files = [Path(value) for option, value in itertools.pairwise(given) if option == "-f"]
        for path in files:
            if not path.exists():
                raise Complaint(f"open {path}: no such file or directory")
        folder = files[0].parent
        if "--project-directory" in given:
            folder = Path(given[given.index("--project-directory") + 1])
        settings = Path(given[given.index("--env-file") + 1])
        while given[0].startswith("-"):
            given = given[2:]
        match given:
            case ["config", *how]:
                return self._config(how, [*files, settings])
            case ["up", *options] if project:
                self._start_colour(project, options, env["RELEASE"])
            case ["up", "--detach", "--no-deps", "--wait", *options]:
                self.do(f"up {' '.join(options)}")
                self.add(options[-1], config_hash=self.hashes.get(options[-1], AS_WANTED))
            case ["run", "--rm", "--no-deps", "-T", *_]:
                return self._one_shot(given[4:], folder.name, env)
            case _:
                raise AssertionError(f"nobody has said what comes of docker compose {given}")
        return ""

    def _config(self, how: list[str], files: list[Path]) -> str:
        match how:
            case ["--services"]:
                return "".join(f"{name}\n" for name in self.services)
            case ["--hash", "*"]:
                names = (*self.services, "mysql", "nginx")
                return "".join(f"{one} {self.hashes.get(one, AS_WANTED)}\n" for one in names)
            case ["--format", "json"]:
                return json.dumps({"services": self._rendered(files)})
        raise AssertionError(f"nobody has said what comes of docker compose config {how}")

    def _rendered(self, files: list[Path]) -> dict[str, dict[str, Any]]:
        """Return the services: each has the lines that begin with its name, and its image."""
        lines = "\n".join(path.read_text() for path in files).splitlines()
        if "refused" in lines:
            raise Complaint("services must be a mapping")
        services = {}
        for name in (*self.services, "mysql", "nginx"):
            said = [line for line in lines if line.startswith(f"{name}: ")]
            named = [line.split()[-1] for line in said if line.startswith(f"{name}: image ")]
            rest = [line for line in said if not line.startswith(f"{name}: image ")]
            services[name] = {"image": (named or [self._image_of(name)])[-1], "rest": rest}
        return services

    def _start_colour(self, colour: str, options: list[str], release: str) -> None:
        self.do(f"start {colour}")
        for name in options:
            if not name.startswith("-"):
                self.add(
                    f"{colour}-{name}",
                    release=release,
                    health=self.healths.get(name, ""),
                    address=self.addresses.get(f"{colour}-{name}", ""),
                )

    def _one_shot(self, given: list[str], release: str, env: dict[str, str]) -> str:
        match given:
            case ["nginx", "nginx", *_, "-t"]:
                self.do(f"try nginx with {release}")
            case ["--entrypoint", "mysqld", "mysql", "--validate-config"]:
                self.do(f"try MySQL with {release}")
            case ["secrets", "python", _, *changes]:
                return self.make_secrets(changes, env)
            case ["migrate", "flask", *command]:
                self.do(f"flask {' '.join(command[:3])}")
                return self.flask(command)
            case _ if "acme" in given:
                return self.acme(given)
            case _:
                raise AssertionError(f"nobody has said what comes of the one-shot {given}")
        return ""
