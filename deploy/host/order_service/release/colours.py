"""Blue and green: the two places for a release's containers, of which one serves.

On a web host that is the one that nginx sends to. A worker host has no nginx, and in a colour the
worker alone; which one serves is written down all the same.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from order_service.containers import HEALTH
from order_service.dotenv import WEB, WORKER, dotenv, has_part
from order_service.host import RELEASES, STACK, UPSTREAM, CommandError, run, try_run
from order_service.release import changes
from order_service.release.project import Project, colour_files
from order_service.secrets import secret_files

PORT = 5000
# Where a worker tells how it is: METRICS_PORT in docker-compose.yml.
WORKER_PORT = 5001
_HOST_NUMBERS = {"blue": 10, "green": 11}
NAMES = tuple(_HOST_NUMBERS)
STOP_SECONDS = 90
SERVICES = ("app", "worker")
NO_SERVICE = "this host has no service"


def services() -> tuple[str, ...]:
    """Return what may run in a place on this host; nothing where there is only the database.

    The first one is there always, and is asked how the place is.
    """
    if has_part(WEB):
        return SERVICES
    return SERVICES[1:] if has_part(WORKER) else ()


@dataclass(frozen=True)
class Colour:
    """One place, and the Compose project in it."""

    name: str

    @property
    def project(self) -> str:
        """The Compose project."""
        return f"order-service-{self.name}"

    @property
    def address(self) -> str:
        """The fixed address in nginx's network."""
        subnet = ip_network(dotenv().get("WEB_SUBNET") or "192.168.213.0/24")
        return str(subnet[_HOST_NUMBERS[self.name]])

    @property
    def other(self) -> Colour:
        """The other place."""
        return Colour(next(name for name in NAMES if name != self.name))

    def compose(self, release: str, *arguments: str, seconds: float = 120) -> str:
        """Run `docker compose` on this place, as the release defines it.

        Raises:
            CommandError: it failed.
        """
        return self.described(release).compose(*arguments, seconds=seconds)

    def described(self, release: str) -> Project:
        """Return the Compose project that the release makes of this place."""
        folder = RELEASES / release
        return Project(
            name=self.project,
            files=tuple(folder / file for file in colour_files(folder)),
            settings=STACK / ".env",
            directory=folder,
            environment={
                "COLOUR_ADDRESS": self.address,
                "RELEASE": release,
                "REVISION": release,
            },
        )

    def start(self, release: str) -> None:
        """Start the release here; what was left of another one goes."""
        wanted = self.compose(release, "config", "--services").split()
        own = [name for name in services() if name in wanted]
        self.compose(release, "up", "-d", "--no-deps", "--force-recreate", "--remove-orphans", *own)
        changes.remember(self.name, self.described(release))

    def wants_change(self, release: str) -> bool:
        """Return whether what runs here differs from what the release and the settings say."""
        runs = {one["com.docker.compose.service"]: one for one in self.containers()}
        wanted = self.described(release)
        return (
            runs.keys() != wanted.services().keys() & set(services())
            or bool(changes.find(self.name, wanted, runs))
            or secret_files.newer_than([one["id"] for one in runs.values()])
        )

    def containers(self) -> list[dict[str, str]]:
        """Return the labels of this place's containers, with their `id`."""
        label = f"label=com.docker.compose.project={self.project}"
        found = run(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", label]).split()
        if not found:
            return []
        described: list[dict[str, Any]] = json.loads(run(["docker", "inspect", *found]))
        return [one["Config"]["Labels"] | {"id": one["Id"]} for one in described]

    def release(self) -> str | None:
        """Return the release whose service runs here, or None."""
        for one in self.containers():
            if one["com.docker.compose.service"] in services()[:1]:
                return one.get("org.opencontainers.image.version")
        return None

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the service's /readyz; 0 where nothing answers."""
        try:
            address, port = self.asked_at()
            with urllib.request.urlopen(f"http://{address}:{port}/readyz", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            try:
                return error.code, json.load(error)
            except ValueError:
                return error.code, {}
        except (CommandError, OSError, ValueError, http.client.HTTPException) as error:
            return 0, {"error": str(error)}

    def asked_at(self) -> tuple[str, int]:
        """Return the address and the port at which what runs here is asked how it is.

        Raises:
            CommandError: it is a worker, and does not run.
        """
        if has_part(WEB):
            return self.address, PORT
        if address := self._worker_address():
            return address, WORKER_PORT
        raise CommandError(f"no worker runs in {self.name}")

    def worker_health(self) -> str:
        """Return what its health check says of the worker here; empty where there is none."""
        return self._of_worker(HEALTH)

    def worker_address(self) -> str:
        """Return where the worker beside the service can be asked; empty where there is none."""
        return self._worker_address() if has_part(WEB) else ""

    def _worker_address(self) -> str:
        addresses = self._of_worker("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}")
        return addresses.partition(" ")[0]

    def _of_worker(self, form: str) -> str:
        """Return what Docker tells of the worker here, in this form."""
        for one in self.containers():
            if one["com.docker.compose.service"] == "worker":
                return run(["docker", "inspect", "--format", form, one["id"]]).strip()
        return ""

    def secret(self, name: str) -> str:
        """Return a secret as the service here reads it."""
        container = f"{self.project}-{services()[0]}-1"
        return run(["docker", "exec", container, "cat", f"/run/secrets/{name}"])

    def save_logs(self, folder: Path) -> str:
        """Keep what the containers here wrote and how they are; return the end of it."""
        folder.mkdir(parents=True, exist_ok=True)
        end = ""
        for one in self.containers():
            logs = try_run(["docker", "logs", "--timestamps", one["id"]])
            service = one["com.docker.compose.service"]
            (folder / f"{service}.log").write_text(logs.stdout + logs.stderr)
            state = run(["docker", "inspect", "--format", "{{json .State}}", one["id"]])
            (folder / f"{service}.state.json").write_text(state)
            end += (logs.stdout + logs.stderr)[-2000:]
        return end

    def stop(self) -> None:
        """Let the containers here finish what they do, then remove them."""
        found = [one["id"] for one in self.containers()]
        if found:
            run(["docker", "stop", *found], seconds=STOP_SECONDS)
            run(["docker", "rm", "--force", *found])


def serving() -> Colour:
    """Return the place that serves: on a web host, that nginx sends to."""
    text = UPSTREAM.read_text(encoding="utf-8")
    for name in NAMES:
        colour = Colour(name)
        if re.search(rf"\b{re.escape(colour.address)}:", text):
            return colour
    raise CommandError(f"{UPSTREAM} names neither blue nor green: {text.strip()!r}")


def upstream_for(colour: Colour) -> str:
    """Return what nginx is told to send requests to that place."""
    return f"server {colour.address}:{PORT} max_fails=0;  # {colour.name}\n"
