"""Docker as the host's programs call it, without an engine: commands in, what they print out."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

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


class Following:
    """Stands in for the `subprocess.Popen` of `docker logs --follow`, with a real pipe."""

    def __init__(self, since: datetime, lines: Iterable[tuple[datetime, str]]) -> None:
        self._since = since
        reading, self._writing = os.pipe()
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 2**20)
        self.stdout = os.fdopen(reading, "rb", buffering=0)
        self.ended = False
        for when, line in lines:
            self.write(when, line)

    def write(self, when: datetime, line: str) -> None:
        """Hand on a line of the log, if it is late enough and somebody reads."""
        if when >= self._since and not self.ended:
            self.write_raw(f"{line}\n")

    def write_raw(self, text: str) -> None:
        """Hand on what may be a part of a line."""
        os.write(self._writing, text.encode())

    def kill(self) -> None:
        """End, as the log does when its container stops."""
        if not self.ended:
            os.close(self._writing)
        self.ended = True

    def wait(self, _seconds: float) -> None:
        """Do nothing: it ends at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()


class FakeDocker:
    """Stands in for `subprocess.run`: containers, images and volumes are kept here.

    What a program has Docker do is noted in `did`, in words such as `start green`.
    """

    def __init__(self, volumes: Path) -> None:
        self.volumes = volumes
        self.containers: dict[str, Container] = {}
        # The ids by all names.
        self.images: dict[str, str] = {}
        # Those that others made, and which MySQL is in them, by their ids.
        self.pulled = {"mysql:9.7": "sha256:mysql", "nginx:1.30": "sha256:nginx"}
        self.versions = {"sha256:mysql": "9.7.4"}
        # Of Compose's files: the services of a colour, and what differs from what runs.
        self.services = ["app"]
        self.hashes: dict[str, str] = {}
        # What the health checks of those say that are started from now on, and where they answer,
        # by the middle of their names.
        self.healths: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        # The options that each network was made with.
        self.networks: dict[str, list[str]] = {"order-service_web": []}
        self.secrets = {"auth_password": "the password"}
        self.did: list[str] = []
        # What is done, and what comes of it: Docker's complaint, or another trouble.
        self.failing: dict[str, str | Exception] = {}
        self.watch: Callable[[str], None] = lambda _: None
        # nginx: process ids of its workers, those that leave, and the lines of its access log.
        self.workers = {"10"}
        self.leaving: set[str] = set()
        self.access_log: list[tuple[datetime, str]] = []
        # Who follows that log, or has followed it.
        self.following: list[Following] = []
        self.https_port = 0
        self.reload: Callable[[], None] = lambda: None
        self.reload_works = True
        # What becomes of the one-shot `secrets`, with its arguments and its environment.
        self.make_secrets: Callable[[list[str], dict[str, str]], str] = lambda *_: ""
        # The service's commands, in the one-shot `migrate`.
        self.flask: Callable[[list[str]], str] = lambda _: ""
        # The client of an ACME authority, with what it is given.
        self.acme: Callable[[list[str]], str] = lambda _: ""
        # The release's look at a database, with the options of its container.
        self.check_database: Callable[[list[str]], str] = lambda _: ""
        # MySQL's client, in MySQL's container.
        self.mysql: Callable[[list[str]], str] = lambda _: ""
        # What nginx tells a balancer.
        self.told_to_balancers: Callable[[], int] = lambda: 200
        # Other programs than Docker, and what they print.
        self.programs: dict[str, Callable[[list[str]], str]] = {}
        self.ran: list[str] = []

    def add(self, name: str, **fields: Any) -> Container:
        """Have a container, by the middle of its name."""
        container = Container(f"order-service-{name}-1", **fields)
        container.image = container.image or self._id(self._image_of(container.service)) or ""
        self.containers[container.name] = container
        return container

    def run(
        self, command: Sequence[str], *, env: dict[str, str], **_: object
    ) -> subprocess.CompletedProcess[str]:
        """Do what `subprocess.run` does."""
        answers: dict[str, Callable[[list[str]], str]] = {
            "compose": lambda given: self._compose(given, env),
            "exec": self._exec,
            "image": self._image,
            "inspect": self._inspect,
            "logs": self._logs,
            "network": self._network,
            "port": lambda _: f"127.0.0.1:{self.https_port}\n",
            "ps": self._ps,
            "pull": self._pull,
            "rm": self._rm,
            "run": self._run,
            "start": self._start,
            "stop": self._stop,
            "update": self._update,
            "top": lambda _: self._top(),
            "volume": lambda given: f"{self.volumes / given[-1]}\n",
        }
        self.ran.append(" ".join(map(str, command)))
        program, *arguments = command
        try:
            if program == "docker":
                printed = answers[arguments[0]](arguments[1:])
            else:
                printed = self.programs[program](arguments)
        except Complaint as complaint:
            return subprocess.CompletedProcess(command, 1, "", str(complaint))
        return subprocess.CompletedProcess(command, 0, printed, "")

    def _network(self, given: list[str]) -> str:
        what, *options, name = given
        if what == "inspect" and name not in self.networks:
            raise Complaint(f"network {name} not found")
        if what == "create":
            self.networks[name] = options
        return ""

    def follow(self, command: Sequence[str], **_: object) -> Following:
        """Do what `subprocess.Popen` does with `docker logs --follow --since MOMENT`."""
        since = datetime.fromisoformat(command[4])
        self.following.append(Following(since, self.access_log))
        return self.following[-1]

    def log(self, line: str, when: datetime | None = None) -> None:
        """Add a line to nginx's access log."""
        entry = (when or datetime.now(UTC), line)
        self.access_log.append(entry)
        for one in self.following:
            one.write(*entry)

    def do(self, what: str) -> None:
        """Note what is done; it fails where a test has said so."""
        self.did.append(what)
        self.watch(what)
        trouble = self.failing.get(what)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            raise Complaint(trouble)

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

    def _image_of(self, service: str) -> str:
        return {"mysql": "mysql:9.7", "nginx": "nginx:1.30"}.get(service, "order-service")

    def _id(self, image: str) -> str | None:
        if image == "order-service":  # one for all releases: they differ by their labels
            return "sha256:order-service"
        return (self.images | self.pulled).get(image)

    def _pull(self, given: list[str]) -> str:
        self.do(f"pull {given[-1]}")
        self.pulled[given[-1]] = f"sha256:{given[-1]}"
        return ""

    def _run(self, given: list[str]) -> str:
        match given:
            case ["--rm", "--network=none", "--entrypoint=mysqld", image, "--version"]:
                version = self.versions[self.pulled.get(image, image)]
                return f"/usr/sbin/mysqld  Ver {version} for Linux on x86_64 (Source)\n"
            case ["--detach", *_]:
                return ""
            case [*_, "flask", "check-database"] | [*_, "flask", "check-database", "--migrator"]:
                return self.check_database(given)
        raise AssertionError(f"nobody has said what comes of docker run {given}")

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

    def _exec(self, given: list[str]) -> str:
        match given:
            case [name, "cat", path]:
                self._known(name)
                if Path(path).name not in self.secrets:
                    raise Complaint(f"cat: {path}: No such file or directory")
                return f"{self.secrets[Path(path).name]}\n"
            case ["order-service-nginx-1", "nginx", *_, "-s", "reload"]:
                self.do("reload")
                if self.reload_works:
                    self.reload()
                    self.leaving = self.workers
                    self.workers = {str(int(max(self.workers)) + 1)}
                return ""
            case ["order-service-nginx-1", "sh", "-c", script] if script.endswith(" -t"):
                return ""
            case ["order-service-nginx-1", "curl", *_]:
                if not self._known(given[0]).running:
                    raise Complaint(f"container {given[0]} is not running")
                return str(self.told_to_balancers())
            case ["order-service-mysql-1", "mysql", *arguments]:
                return self.mysql(arguments)
        raise AssertionError(f"nobody has said what comes of docker exec {given}")

    def _top(self) -> str:
        """Show nginx's processes; those that leave are seen once."""
        lines = [f"{number} nginx: worker process" for number in self.workers]
        lines += [f"{number} nginx: worker process is shutting down" for number in self.leaving]
        self.leaving = set()
        return "".join(f"{line}\n" for line in ["PID COMMAND", "1 nginx: master process", *lines])

    def _logs(self, given: list[str]) -> str:
        assert given[0] == "--timestamps"
        return self._known(given[1]).logs

    def _ps(self, given: list[str]) -> str:
        shown: Iterable[Container] = self.containers.values()
        if found := re.search(rf"label={LABEL}\.project=(\S+)", " ".join(given)):
            shown = [one for one in shown if one.project == found[1]]
        if "{{.Names}}" in given:
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
