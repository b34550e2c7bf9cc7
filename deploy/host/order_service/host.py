"""What the host's programs share: where things lie, and how commands are run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
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
CERTIFICATES = ROOT / "certificates"
AUTHORITY = ROOT / "authority"
UPSTREAM = ROOT / "upstream" / "server.conf"
SETTINGS = Path(os.environ.get("ORDER_SERVICE_SETTINGS", "/etc/order-service"))
# In memory, and gone with a restart.
RUN = Path(os.environ.get("ORDER_SERVICE_RUN", "/run"))
DEFAULT_SECONDS = 120
# Who calls, for the ledger: order-service --by.
BY = "ORDER_SERVICE_BY"


class CommandError(Exception):
    """A command failed; the text says which, and what it wrote."""


def say(text: str) -> None:
    """Tell the operator, through Ansible or the journal; that nobody listens stops nothing."""
    with suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def caller() -> str:
    """Return who has asked for what is done."""
    return os.environ.get(BY, "unknown")


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
    """Run a command, whether it fails or not; output is text, both streams apart.

    Raises:
        CommandError: it took longer than the seconds, or is not on this host.
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
    except FileNotFoundError:
        raise CommandError(
            f"{command[0]} is not on this host; run deploy.yml, which installs what is needed"
        ) from None


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


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put the file in place as a whole, and durably."""
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            new.chmod(mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> bool:
    """Put a copy in place as a whole, and durably; return whether it was not there."""
    content = source.read_bytes()
    if target.is_file() and target.read_bytes() == content:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, content, stat.S_IMODE(source.stat().st_mode))
    return True


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Put the text in place as a whole, and durably."""
    write_bytes(path, text.encode(), mode)


def write_json(path: Path, value: Any) -> None:
    """Put the value in place as a whole, readable for people too."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def private_files() -> Iterator[None]:
    """Have files made that nobody else may read, as backups are."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
