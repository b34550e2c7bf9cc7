"""Docker as the host's programs call it, without an engine: commands in, what they print out."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.support.fake_compose import FakeCompose
from tests.support.fake_engine import Complaint


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


class FakeDocker(FakeCompose):
    """Stands in for `subprocess.run`, with what answers inside of containers."""

    def __init__(self, volumes: Path) -> None:
        super().__init__()
        self.volumes = volumes
        self.secrets = {"auth_password": "the password"}
        # nginx: process ids of its workers, those that leave, and the lines of its access log.
        self.workers = {"10"}
        self.leaving: set[str] = set()
        self.access_log: list[tuple[datetime, str]] = []
        # Who follows that log, or has followed it.
        self.following: list[Following] = []
        self.https_port = 0
        self.reload: Callable[[], None] = lambda: None
        self.reload_works = True
        # The release's look at a database, with the options of its container.
        self.check_database: Callable[[list[str]], str] = lambda _: ""
        # MySQL's client, in MySQL's container.
        self.mysql: Callable[[list[str]], str] = lambda _: ""
        # What nginx tells a balancer.
        self.told_to_balancers: Callable[[], int] = lambda: 200
        # Other programs than Docker, and what they print.
        self.programs: dict[str, Callable[[list[str]], str]] = {}
        self.ran: list[str] = []

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
