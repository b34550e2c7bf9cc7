"""The unit of systemd in which the service is changed. Its name is the lock: there is only one.

What starts or stops the service's containers, changes passwords, migrates or restores live data
runs in it, whoever calls. It goes on without its caller, and what it says is in the journal, too.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import syslog
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from order_service.host import CommandError, run

# Empty where there is no systemd, in tests.
NAME = os.environ.get("ORDER_SERVICE_UNIT", "order-service-deployment.service")
# After that it is interrupted, and has some minutes to leave a good state.
MOST_SECONDS = 4 * 3600
STOP_SECONDS = 300
EVERY_SECONDS = 1.0
# systemd forgets a unit a moment after its end.
FORGOTTEN_SECONDS = 10
TAKEN = f"Unit {NAME} was already loaded"


def is_inside() -> bool:
    """Return whether this process runs in the unit."""
    return f"/{NAME}\n" in Path("/proc/self/cgroup").read_text(encoding="utf-8")


def under_way() -> str | None:
    """Return what is done in the unit just now and since when, or None."""
    names = ("ActiveState", "Description", "InactiveExitTimestamp")
    asked = ["--timestamp=unix", *(f"--property={name}" for name in names)]
    lines = run(["systemctl", "show", NAME, *asked]).splitlines()
    told = dict(line.split("=", 1) for line in lines)
    if told["ActiveState"] in ("inactive", "failed"):
        return None
    seconds = told["InactiveExitTimestamp"].removeprefix("@") or "0"
    since = datetime.fromtimestamp(int(seconds), UTC)
    return f"{told['Description']}, since {since:%Y-%m-%d %H:%M:%S} UTC"


def enter(what: str, arguments: Sequence[str], wait: float) -> int:
    """Run this program in the unit with these arguments; return its exit status.

    Args:
        what: what is done and who wants it, for whoever comes next.
        arguments: the program's.
        wait: for how many seconds another one that is at work is waited for.

    Raises:
        CommandError: that one is still at work; the text says who, and what to do.
    """
    begun, told = time.monotonic(), ""
    while (status := _start(what, arguments)) is None:
        waited = time.monotonic() - begun
        holder = under_way()
        if waited >= (wait if holder else max(wait, FORGOTTEN_SECONDS)):
            raise CommandError(
                f"{holder or NAME} is at work on this host. Try again when it has ended, or set"
                f" deploy_lock_wait_seconds. What it does: journalctl -fu {NAME}; its end, by"
                f" force: systemctl stop {NAME}"
            )
        if holder and holder != told:
            told = holder
            sys.stderr.write(f"waiting for {holder}\n")
        time.sleep(EVERY_SECONDS)
    return status


def _start(what: str, arguments: Sequence[str]) -> int | None:
    """Run the unit to its end and return its exit status; None where there is one already."""
    passed_on = [f"--setenv={name}" for name in os.environ if name.startswith("ORDER_SERVICE_")]
    properties = {
        # What is under way leaves a good state before the containers are ended with the host.
        "After": "docker.service order-service-shutdown.service",
        "KillMode": "mixed",
        "RuntimeMaxSec": MOST_SECONDS,
        "TimeoutStopSec": STOP_SECONDS,
        "Type": "exec",
    }
    command = [
        *("systemd-run", f"--unit={NAME}", f"--description={what}", "--quiet", "--collect"),
        # The caller's input and output are the unit's own: what is secret goes that way alone.
        *("--wait", "--pipe", "--expand-environment=no", f"--setenv=HOME={Path.home()}"),
        *passed_on,
        *(f"--property={name}={value}" for name, value in properties.items()),
        *(sys.executable, str(Path(sys.argv[0]).absolute()), *arguments),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        for line in process.stderr or ():
            if TAKEN in line:
                return None
            sys.stderr.write(line)
    return process.returncode


def begin() -> None:
    """Have all that is said in this process go to the journal, and to the caller while it lives.

    An interruption ends it in good order.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("FAILED: interrupted by SIGTERM"))
    syslog.openlog("order-service")
    sys.stdout = _Told(sys.stdout, syslog.LOG_INFO)
    sys.stderr = _Told(sys.stderr, syslog.LOG_ERR)


class _Told(io.TextIOBase):
    """A stream that a caller who has gone does not break."""

    def __init__(self, caller: TextIO, priority: int) -> None:
        self._caller, self._priority, self._begun = caller, priority, ""

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._caller.write(text)
            self._caller.flush()
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(None, lines):
            syslog.syslog(self._priority, line)
        return len(text)
