"""The watchdog, in processes of its own: it ends them, and pytest has a timer of the same kind."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.support.service_process import REPOSITORY

# Seconds for which nothing may run, and what a busy machine adds to the time that a process takes.
PATIENCE, MARGIN = 1.0, 10.0
HELD = 30
PROGRAM = f"""
import ctypes, threading, time
from service.processing import watchdog
watchdog.TICK = 0.05
dog = watchdog.Watchdog({PATIENCE})
dog.start()
"""


def run(rest: str) -> subprocess.CompletedProcess[str]:
    """Run a program that starts a watchdog."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + rest],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=HELD + MARGIN,
        check=False,
    )


def test_a_process_in_which_nothing_runs_any_more_is_ended_and_tells_where_it_was() -> None:
    began = time.monotonic()
    ended = run(
        "def stuck():\n"
        "    time.sleep(5 * watchdog.TICK)\n"
        f"    ctypes.PyDLL(None).sleep({HELD})\n"
        "threading.Thread(target=stuck).start()\n"
    )
    assert ended.returncode == 1
    assert "in stuck" in ended.stderr
    assert PATIENCE <= time.monotonic() - began < PATIENCE + MARGIN


def test_a_process_in_which_something_runs_goes_on() -> None:
    """However busy it is: with work of its own, and then with none."""
    busy = f"ends = time.monotonic() + {PATIENCE}\nwhile time.monotonic() < ends: pass\n"
    idle = f"time.sleep({PATIENCE} / 2)\n"
    ended = run(busy + idle + "dog.stop()\n")
    assert (ended.returncode, ended.stderr) == (0, "")
