"""What the host's programs share: where things lie, how commands are run, who is at work."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("ORDER_SERVICE_ROOT", "/opt/order-service"))
RELEASES = ROOT / "releases"
STACK = ROOT / "stack"
STATE = ROOT / "state"
FAILURES = ROOT / "failures"
# Held by what starts or stops the service's containers; says what that is.
UNDER_WAY = STATE / "rollout.flock"
CERTIFICATES = ROOT / "certificates"
UPSTREAM = ROOT / "upstream" / "server.conf"
SETTINGS = Path(os.environ.get("ORDER_SERVICE_SETTINGS", "/etc/order-service"))
# In memory, and gone with a restart.
RUN = Path(os.environ.get("ORDER_SERVICE_RUN", "/run"))
DEFAULT_SECONDS = 120
# This program, as a file or as a folder.
PROGRAM = Path(__file__).resolve().parents[1]


class CommandError(Exception):
    """A command failed; the text says which, and what it wrote."""


def say(text: str) -> None:
    """Tell the operator, through Ansible or the journal; that nobody listens stops nothing."""
    with suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def now() -> str:
    """Return this moment in UTC, as RFC 3339 with seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def try_run(
    command: Sequence[str],
    *,
    seconds: float = DEFAULT_SECONDS,
    env: dict[str, str] | None = None,
    text: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command, whatever comes of it; output is text, both streams apart.

    Raises:
        CommandError: it took longer than the seconds.
    """
    try:
        return subprocess.run(  # noqa: S603 - a list, without a shell
            command,
            capture_output=True,
            check=False,
            env=os.environ | (env or {}),
            errors="replace",
            input=text or "",
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"{' '.join(command)}: not done after {seconds:.0f} s") from None


def run(
    command: Sequence[str],
    *,
    seconds: float = DEFAULT_SECONDS,
    env: dict[str, str] | None = None,
    text: str | None = None,
) -> str:
    """Run a command and return its standard output.

    Raises:
        CommandError: it failed, or took longer than the seconds.
    """
    done = try_run(command, seconds=seconds, env=env, text=text)
    if done.returncode != 0:
        output = (done.stderr.strip() or done.stdout.strip())[-3000:]
        raise CommandError(f"{' '.join(command)} ended with {done.returncode}: {output}")
    return done.stdout


def read_json(path: Path, default: Any) -> Any:
    """Return what the file holds, or the default where there is none.

    Raises:
        CommandError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError as problem:
        raise CommandError(f"{path} is not JSON ({problem}); restore or remove it") from None


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Put the text in place as a whole, and durably."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        new.chmod(mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Put the value in place as a whole, readable for people too."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Be the only one that starts or stops the service; the kernel ends it with the process.

    Raises:
        CommandError: another one is at it; the text says which.
    """
    UNDER_WAY.parent.mkdir(parents=True, exist_ok=True)
    with UNDER_WAY.open("a+", encoding="utf-8") as file:
        for _ in range(10):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)  # perhaps somebody only looks: under_way()
        else:
            raise CommandError(f"{under_way()} is under way; it ends by itself")
        file.truncate(0)
        file.write(f"{what}, since {now()}\n")
        file.flush()
        yield


def under_way() -> str | None:
    """Return what starts or stops the service just now, even if nobody waits for it any more."""
    try:
        with UNDER_WAY.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return UNDER_WAY.read_text(encoding="utf-8").strip() or "a rollout"
    return None
