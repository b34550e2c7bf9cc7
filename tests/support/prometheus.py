"""Prometheus and its programs, as the lab has fetched them."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import REPOSITORY

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FETCHED = CACHE / "order-service-lab" / "prometheus" / "usr" / "bin"
MONITORING = REPOSITORY / "deploy" / "monitoring"
CONFIGURATION = MONITORING / "prometheus"
START_SECONDS = 30.0


def program(name: str) -> str:
    """Return the program's path; skip the test where there is none."""
    found = shutil.which(name, path=f"{FETCHED}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"there is no {name}: run `make lab`")
    return found


def promtool(*arguments: str | Path, text: str = "") -> str:
    """Run promtool and return what it wrote; fail with that when it finds a fault."""
    # Not `run`: the tests of the host's programs have something else in its place.
    with subprocess.Popen(
        [program("promtool"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output, _ = process.communicate(text, timeout=120)
    assert process.returncode == 0, output
    return output


class Prometheus:
    """A running Prometheus, and what it is asked."""

    def __init__(self, port: int) -> None:
        self._pool = urllib3.HTTPConnectionPool(HOST, port, retries=False, timeout=10)

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        answer = self._pool.request("GET", f"/api/v1/{path}?{query}")
        assert answer.status == 200, answer.data
        return answer.json()["data"]

    def query(self, expression: str) -> dict[str, float]:
        """Return the values by their labels, written like `a=1,b=2`, without the name."""
        found = {}
        for one in self.ask("query", query=expression)["result"]:
            labels = sorted((k, v) for k, v in one["metric"].items() if k != "__name__")
            found[",".join(f"{name}={value}" for name, value in labels)] = float(one["value"][1])
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def ready(self) -> bool:
        """Return whether it answers."""
        try:
            return self._pool.request("GET", "/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False


@contextmanager
def running_prometheus(folder: Path) -> Iterator[Prometheus]:
    """Give a Prometheus that runs with the folder's prometheus.yml; its data goes there, too."""
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        prometheus = Prometheus(port)
        wait_until(prometheus.ready, START_SECONDS, "Prometheus")
        yield prometheus
    finally:
        process.terminate()
        process.wait(START_SECONDS)
