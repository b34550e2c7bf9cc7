"""The containers, images and networks of Docker, kept here without an engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LABEL = "com.docker.compose"
AS_WANTED = "as-wanted"


class Complaint(Exception):
    """Docker ends with 1, and this text."""


@dataclass
class Container:
    """One container; its name is its id as well."""

    name: str
    release: str = ""
    config_hash: str = AS_WANTED
    # The id of its image.
    image: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    running: bool = True
    status: str = "Up 5 minutes (healthy)"
    # What its health check says; empty where it has none.
    health: str = ""
    logs: str = ""
    # How often Docker has started it again.
    restarts: int = 0
    address: str = ""
    restart: str = "unless-stopped"

    @property
    def project(self) -> str:
        """The Compose project."""
        return self.name.removesuffix("-1").rpartition("-")[0]

    @property
    def service(self) -> str:
        """The service in it."""
        return self.name.removesuffix("-1").rpartition("-")[2]

    def described(self) -> dict[str, Any]:
        """Return what `docker inspect` tells."""
        labels = {
            f"{LABEL}.project": self.project,
            f"{LABEL}.service": self.service,
            f"{LABEL}.config-hash": self.config_hash,
            f"{LABEL}.image": self.image,
            "org.opencontainers.image.version": self.release,
        }
        state = {"Running": self.running, "StartedAt": f"{self.started:%Y-%m-%dT%H:%M:%S.%f}789Z"}
        created = f"{self.created:%Y-%m-%dT%H:%M:%S.%f}789Z"
        counted = {"Name": f"/{self.name}", "RestartCount": self.restarts, "Created": created}
        described = {"Id": self.name, "Image": self.image, "State": state}
        return described | counted | {"Config": {"Labels": labels}}


class FakeEngine:
    """Docker's commands about what it has.

    What a program has Docker do is noted in `did`, in words such as `start green`.
    """

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        # The ids by all names.
        self.images: dict[str, str] = {}
        # Those that others made, and which MySQL is in them, by their ids.
        self.pulled = {"mysql:9.7": "sha256:mysql", "nginx:1.30": "sha256:nginx"}
        self.versions = {"sha256:mysql": "9.7.4"}
        # The options that each network was made with.
        self.networks: dict[str, list[str]] = {"order-service_web": []}
        self.did: list[str] = []
        # What is done, and what comes of it: Docker's complaint, or another trouble.
        self.failing: dict[str, str | Exception] = {}
        self.watch: Callable[[str], None] = lambda _: None

    def add(self, name: str, **fields: Any) -> Container:
        """Have a container, by the middle of its name."""
        container = Container(f"order-service-{name}-1", **fields)
        container.image = container.image or self._id(self._image_of(container.service)) or ""
        self.containers[container.name] = container
        return container

    def do(self, what: str) -> None:
        """Note what is done; it fails where a test has said so."""
        self.did.append(what)
        self.watch(what)
        trouble = self.failing.get(what)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            raise Complaint(trouble)

    def _image_of(self, service: str) -> str:
        return {"mysql": "mysql:9.7", "nginx": "nginx:1.30"}.get(service, "order-service")

    def _id(self, image: str) -> str | None:
        if image == "order-service":  # one for all releases: they differ by their labels
            return "sha256:order-service"
        return (self.images | self.pulled).get(image)

    def _network(self, given: list[str]) -> str:
        what, *options, name = given
        if what == "inspect" and name not in self.networks:
            raise Complaint(f"network {name} not found")
        if what == "create":
            self.networks[name] = options
        return ""

    def _pull(self, given: list[str]) -> str:
        self.do(f"pull {given[-1]}")
        self.pulled[given[-1]] = f"sha256:{given[-1]}"
        return ""

    def _image(self, given: list[str]) -> str:
        match given:
            case ["inspect", "--format", "{{.Id}}", name] if self._id(name):
                return f"{self._id(name)}\n"
            case ["inspect", tag] if tag in self.images:
                names = [one for one in self.images if self.images[one] == self.images[tag]]
                digests = [name for name in names if "@" in name]
                tags = [name for name in names if "@" not in name]
                described = {"Id": self.images[tag], "RepoTags": tags, "RepoDigests": digests}
                return json.dumps([described])
            case ["ls", "--format", "{{.Tag}}", repository]:
                self.do("list the images")
                ours = (one for one in self.images if one.startswith(f"{repository}:"))
                return "".join(f"{name.partition(':')[2]}\n" for name in ours)
            case ["rm", name] if name in self.images or name in self.pulled.values():
                self.do(f"remove the image {name}")
                self.images.pop(name, None)
                return ""
        raise Complaint(f"No such image: {given[-1]}")

    def _logs(self, given: list[str]) -> str:
        assert given[0] == "--timestamps"
        return self._known(given[1]).logs

    def _ps(self, given: list[str]) -> str:
        shown: Iterable[Container] = self.containers.values()
        if found := re.search(rf"label={LABEL}\.project=(\S+)", " ".join(given)):
            shown = [one for one in shown if one.project == found[1]]
        if "{{.Names}}" in given and "--all" not in given:
            shown = [one for one in shown if one.running]
        if "--quiet" in given or "{{.Names}}" in given:
            return "".join(f"{one.name}\n" for one in shown)
        states = {True: "running", False: "exited"}
        return "".join(f"{one.name}\t{states[one.running]}\t{one.status}\n" for one in shown)

    def _inspect(self, given: list[str]) -> str:
        if given[0] != "--format":
            return json.dumps([self._known(name).described() for name in given])
        _, form, name = given
        if form == "{{with .State.Health}}{{.Status}}{{end}}":
            return f"{self._known(name).health}\n"
        if form == "{{.Image}}":
            return f"{self._known(name).image}\n"
        if form == "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}":
            return f"{self._known(name).address} \n"
        state = self._known(name).described()["State"]
        if form == "{{json .State}}":
            self.do(f"keep the state of {name}")
            return json.dumps(state)
        shown = state[form.removeprefix("{{.State.").removesuffix("}}")]
        return f"{str(shown).lower() if isinstance(shown, bool) else shown}\n"

    def _stop(self, names: list[str]) -> str:
        for project in dict.fromkeys(self._known(name).project for name in names):
            self.do(f"stop {project.removeprefix('order-service-')}")
        for name in names:
            self.containers[name].running = False
        return ""

    def _start(self, names: list[str]) -> str:
        self.do(f"start {' '.join(name.removeprefix('order-service-') for name in names)}")
        for name in names:
            self._known(name).running = True
        return ""

    def _update(self, given: list[str]) -> str:
        policy, *names = given
        for name in names:
            self._known(name).restart = policy.removeprefix("--restart=")
        return ""

    def _rm(self, given: list[str]) -> str:
        for name in given[1:]:
            del self.containers[self._known(name).name]
        return ""

    def _known(self, name: str) -> Container:
        if name not in self.containers:
            raise Complaint(f"No such object: {name}")
        return self.containers[name]
