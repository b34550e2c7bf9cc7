"""Where the time goes: py-spy on the worker processes, while they are under load."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.bench import Bench
from bench.options import TARGET_CONNECTIONS
from bench.servers import WebServer

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
            stacks = bench.options.output / f"profile-{kind}-{name}.txt"
            _record(bench, server, kind, stored, stacks)
            packages, functions = leading(stacks.read_text())
            bench.results.profiles[f"{kind} {name}"] = packages
            print(f"  {kind} {name}: where the samples of {stacks.name} are")
            for function, share in functions:
                print(f"  {share:6.1%}  {function}")


def _record(bench: Bench, server: WebServer, kind: str, stored: int, path: Path) -> None:
    program = str(Path(sys.executable).parent / "py-spy")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The kernel chooses the worker, so the busiest one tells most.
    files = {pid: path.with_suffix(f".{pid}") for pid in server.workers()}
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
        bench.generator.run(
            server.url, kind, connections=TARGET_CONNECTIONS, seconds=LOAD_SECONDS, stored=stored
        )
        for recorder in recorders:
            recorder.wait(60)
    recorded = [file for file in files.values() if file.exists()]
    path.write_text("".join(file.read_text() for file in recorded))
    for file in recorded:
        file.unlink()


def leading(stacks: str) -> tuple[list[Share], list[Share]]:
    """Return the packages and the functions that most samples were in, with their shares.

    Args:
        stacks: lines of `outer;inner number`, as py-spy writes them; the innermost one counts.
            A line that is torn, as where a program changed while it was read, counts nothing.
    """
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, number = line.rpartition(" ")
        if not number.isdecimal():
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
