"""Where the time goes: py-spy on the worker processes, while they are under load."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.bench import Bench
from bench.options import TARGET_CONNECTIONS
from bench.servers import WebServer
from tests.support.service_process import Process

SECONDS = 8
# The load goes on for longer than py-spy looks, which needs a while to find its way.
LOAD_SECONDS = SECONDS + 4
LONGEST_LIST = 15

Share = tuple[str, float]


def record_profiles(bench: Bench, servers: Mapping[str, WebServer], stored: int) -> None:
    """Write the stacks of each server and kind of request, and print what leads.

    The files are what flame graph programs read.
    """
    for kind in [kind for kind in ("post", "get") if kind in bench.options.only]:
        for name, server in servers.items():
            load = partial(
                bench.generator.run,
                server.url,
                kind,
                connections=TARGET_CONNECTIONS,
                seconds=LOAD_SECONDS,
                stored=stored,
            )
            _record(bench, f"{kind} {name}", server.workers(), load)


def record_processing_profile(bench: Bench, process: Process) -> None:
    """Do the same for a process that has orders to process for longer than that."""
    _record(bench, "processing service", [process.popen.pid], lambda: None)


def _record(bench: Bench, what: str, pids: Iterable[int], load: Callable[[], object]) -> None:
    program = str(Path(sys.executable).parent / "py-spy")
    path = bench.options.output / f"profile-{what.replace(' ', '-')}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    # The kernel chooses the worker, so the busiest one tells most.
    files = {pid: path.with_suffix(f".{pid}") for pid in pids}
    with ExitStack() as stack:
        recorders = [
            stack.enter_context(
                subprocess.Popen(
                    [
                        *(program, "record", "--format=raw", f"--pid={pid}", f"--output={file}"),
                        *(f"--duration={SECONDS}", "--rate=200", "--nonblocking"),
                    ],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            for pid, file in files.items()
        ]
        load()
        for recorder in recorders:
            recorder.wait(60)
    recorded = [file for file in files.values() if file.exists()]
    path.write_text("".join(file.read_text() for file in recorded))
    for file in recorded:
        file.unlink()
    packages, functions = leading(path.read_text())
    bench.results.profiles[what] = packages
    print(f"  {what}: where the samples of {path.name} are")
    for function, share in functions:
        print(f"  {share:6.1%}  {function}")


def leading(stacks: str) -> tuple[list[Share], list[Share]]:
    """Return the packages and the functions that most samples were in, with their shares.

    Args:
        stacks: lines of `outer;inner number`, as py-spy writes them; the innermost one counts.
            A line that is torn or empty, as where a program changed while it was read, counts
            nothing.
    """
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, number = line.rpartition(" ")
        if not frames or not number.isdecimal():
            continue
        function = frames.rpartition(";")[2].rpartition(":")[0] + ")"
        functions[function] += int(number)
        # Generated code has a description in the place of a file.
        file = function.partition(" (")[2].rstrip(")")
        package = "generated code" if file.startswith("<") else file.partition("/")[0]
        packages[package] += int(number)
    return _shares(packages), _shares(functions)


def _shares(counts: Counter[str]) -> list[Share]:
    return [(name, number / counts.total()) for name, number in counts.most_common(LONGEST_LIST)]
