"""The load: wrk with `load.lua`, and what it says of one stretch of time."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
# An answer that takes longer than this many seconds is an error.
TIMEOUT = 20
STATUSES = {"post": 201}
# Ids of posted orders begin here, above all that are stored before.
FIRST_POSTED = 2_000_000_000
PATHS = {"list": "/orders", "metrics": "/metrics"}


class LoadError(Exception):
    """wrk did not do its work; says what it wrote."""


@dataclass(frozen=True)
class Sample:
    """One measurement; latencies are in milliseconds, `rate` is a second.

    `errors` counts answers of another status than expected and requests without an answer.
    """

    rate: float
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    requests: int = 0
    errors: int = 0
    problem: str = ""


class Generator:
    """Sends load with these credentials; no id is posted twice in its life."""

    def __init__(self, authorization: str, first_id: int = FIRST_POSTED) -> None:
        self._authorization = authorization
        self._next_id = first_id

    def run(self, url: str, kind: str, *, connections: int, seconds: int, stored: int) -> Sample:
        """Send one kind of request from that many connections for that long.

        Args:
            kind: `post`, `get` (a random order from 1 to `stored`), `list`, `metrics`, or a path.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "BENCH_KIND": PATHS.get(kind, kind),
            "BENCH_FIRST_ID": str(self._next_id),
            "BENCH_STORED": str(stored),
            "BENCH_STATUS": str(STATUSES.get(kind, 200)),
            "BENCH_AUTHORIZATION": self._authorization,
        }
        arguments = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT}s"]
        done = subprocess.run(
            ["wrk", *arguments, f"--script={SCRIPT}", url],
            capture_output=True,
            check=False,
            env=environment,
            text=True,
            timeout=seconds + 2 * TIMEOUT,
        )
        if done.returncode or "BENCH " not in done.stdout:
            raise LoadError(f"wrk on {url}: {done.stderr.strip() or done.stdout.strip()}")
        sample, self._next_id = parse(done.stdout)
        return sample


def parse(output: str) -> tuple[Sample, int]:
    """Read what `load.lua` printed: the measurement, and the first id that is unused."""
    said = json.loads(output.rpartition("BENCH ")[2])
    problem = []
    if said["wrong"]:
        problem.append(f"{said['wrong']} answers of status {said['wrong_status']} or the like")
    if said["lost"]:
        problem.append(f"{said['lost']} requests without an answer")
    # wrk counts what was answered only: a server that hangs has no errors, and no answers.
    silent = not said["requests"]
    if silent:
        problem.append("no answer at all")
    sample = Sample(
        rate=said["requests"] / (said["microseconds"] / 1e6),
        p50=said["p50"] / 1000,
        p90=said["p90"] / 1000,
        p99=said["p99"] / 1000,
        longest=said["longest"] / 1000,
        requests=said["requests"],
        errors=said["wrong"] + said["lost"] + silent,
        problem=", ".join(problem),
    )
    return sample, said["next_id"]
