"""`make bench`: run the scenarios, report, and leave nothing behind."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from bench import options as plan
from bench.bench import Bench
from bench.chart import draw
from bench.conformance import ConformanceError
from bench.load import LoadError
from bench.machine import describe_machine, describe_versions
from bench.nginx import IMAGE as NGINX_IMAGE
from bench.nginx import NginxError
from bench.report import Circumstances, write_report
from bench.scenarios import growth, hosts, memory, processing, serving
from tests.support.docker import DockerError
from tests.support.mysql_server import docker_available, image_missing

RUNS: dict[str, Callable[[Bench], None]] = {
    "requests": serving.run,
    "growth": growth.run,
    "processing": processing.run,
    "hosts": hosts.run,
    "memory": memory.run,
}
# What a run may end with, in one message; anything else is a mistake in the bench.
FAILURES = (AssertionError, ConformanceError, DockerError, LoadError, NginxError)


def main() -> None:
    """Run what the command line asks for; exits with 1 when the run is void."""
    options = plan.parse(sys.argv[1:])
    if missing := _missing():
        sys.exit(f"bench: {missing}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    started, machine = time.monotonic(), describe_machine()
    versions: dict[str, str] = {}

    def report(bench: Bench) -> str:
        minutes = (time.monotonic() - started) / 60
        run = Circumstances(machine, versions, minutes)
        draw(bench.results, options.sizes, options.output / "chart.svg")
        return write_report(bench.results, options, run)

    try:
        with Bench(options) as bench:
            versions |= describe_versions(bench.mysql)
            text = _run_scenarios(bench, report)
    except KeyboardInterrupt:
        sys.exit("bench: stopped; nothing of it is left running")
    except FAILURES as problem:
        sys.exit(f"bench: {problem}")
    print(f"\n{text}\nIn {options.output}: results.json, results.md and chart.svg")
    if problems := bench.results.problems():
        sys.exit("bench: the run is void:\n" + "\n".join(problems))


def _run_scenarios(bench: Bench, report: Callable[[Bench], str]) -> str:
    text = ""
    for name, run in RUNS.items():
        if _wanted(name, bench.options.only):
            print(f"{name}, at {time.strftime('%H:%M:%S')}", flush=True)
            run(bench)
            # After each of them, so that a failure of the next one loses nothing.
            text = report(bench)
    return text


def _wanted(name: str, only: frozenset[str]) -> bool:
    return bool(only & set(plan.REQUEST_NAMES)) if name == "requests" else name in only


def _missing() -> str | None:
    for program in ("wrk", "redis-server"):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install wrk redis-server"
    return docker_available() or image_missing(NGINX_IMAGE)


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: what follows is the cleaning up, for the programs that it starts as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
