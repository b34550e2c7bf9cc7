"""Copies of the backups elsewhere: by rsync over SSH, or in an S3-compatible store by rclone.

Nothing there is deleted because it is missing here, so a host that lost its disk, and begins anew
with the same destination, empties nothing. What the retention removes is decided by the names and
manifests that are there, by the same rules as here; or the destination decides, and this host only
adds (`offsite_retention`).
"""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from order_service.backup.locks import locked
from order_service.backup.retention import expired
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import LAST_BINLOG, MANIFEST, TIME, Store, sidecar
from order_service.host import SETTINGS, CommandError, run

# Of a store that is slow; that nothing moves for five minutes is noticed by both programs.
SECONDS = 4 * 3600
KEY = SETTINGS / "backup_key"
KNOWN_HOSTS = SETTINGS / "backup_known_hosts"
RCLONE_CONFIG = SETTINGS / "rclone.conf"
_REMOTE = "offsite"
_MANIFEST = re.compile(f"({TIME})/{MANIFEST}")
_COPY = re.compile(r"binlogs/[\w-]+/\w[\w.-]*")


def send_backups(settings: Settings) -> str:
    """Copy the full backups that are new, remove there what has had its time; return where to.

    Raises:
        BackupError, CommandError: the destination refused, or was not reached.
    """
    if settings.offsite == "none":
        return "none"
    with locked(settings.directory, "upload"):
        files = _files(settings.directory, "*/*", "last-*.json")
        # A backup counts once its manifest is there, so that comes last.
        manifests = [path for path in files if path.endswith(f"/{MANIFEST}")]
        _copy(settings, [path for path in files if path not in manifests])
        _copy(settings, manifests)
        if settings.offsite_retention == "here":
            _remove(settings, _expired(settings))
    return settings.destination


def send_binlogs(settings: Settings) -> str:
    """Copy the binary logs' copies that are new; return and raise as `send_backups` does."""
    if settings.offsite == "none":
        return "none"
    with locked(settings.directory, "send"):
        _copy(settings, _files(settings.directory, "binlogs/*/*", LAST_BINLOG))
    return settings.destination


def reach(settings: Settings) -> None:
    """Go to the destination of rsync with nothing, and with a key that is made if need be.

    Raises:
        CommandError: it refused, or was not reached; the text says what it has to know.
    """
    if not KEY.exists():
        comment = f"order-service-backup@{socket.gethostname()}"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(KEY)])
    _copy(settings, [])


def index(settings: Settings, folder: Path) -> dict[str, int]:
    """Have in the folder what a restore is planned by, and return the size of all that is there.

    The manifests are fetched; of copied binary logs there are empty files with their names.

    Raises:
        BackupError: no destination is set.
        CommandError: it refused, or was not reached.
    """
    if settings.offsite == "none":
        raise BackupError(
            "there is no copy off this host: set backup_destination and run deploy.yml"
        )
    sizes = _sizes(settings)
    planned_by = [path for path in sizes if _MANIFEST.fullmatch(path) or path == LAST_BINLOG]
    fetch(settings, folder, planned_by)
    for path in sizes:
        if _COPY.fullmatch(path):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
    return sizes


def fetch(settings: Settings, folder: Path, paths: Sequence[str]) -> None:
    """Copy these files from there into a folder.

    Raises:
        CommandError: one is missing, or the destination was not reached.
    """
    _copy(settings, paths, to=folder)


def _expired(settings: Settings) -> list[str]:
    """Return what has had its time there; folders end with a slash."""
    with tempfile.TemporaryDirectory(prefix="off-the-host-") as folder:
        index(settings, Path(folder))
        store = Store(Path(folder))
        backups, copies = expired(store, settings, datetime.now(UTC))
        files = [path for copy in map(store.copy_path, copies) for path in (copy, sidecar(copy))]
        return [f"{one}/" for one in backups] + [str(one.relative_to(folder)) for one in files]


def _files(folder: Path, *patterns: str) -> list[str]:
    """Return the files that are whole, by their paths in the folder."""
    found = (path for one in patterns for path in folder.glob(one) if path.is_file())
    paths = (path.relative_to(folder) for path in found)
    return sorted(str(path) for path in paths if not any(p.startswith(".") for p in path.parts))


def _there(settings: Settings) -> str:
    place = settings.destination.rstrip("/")
    return f"{place}/" if settings.offsite == "rsync" else f"{_REMOTE}:{place}"


def _sizes(settings: Settings) -> dict[str, int]:
    """Return the size of each file that is there, by its path."""
    if settings.offsite == "s3":
        form = ("--format", "sp", "--separator", " ")
        listed = _rclone("lsf", "--recursive", "--files-only", *form, _there(settings))
        fields = (line.split(" ", 1) for line in listed.splitlines())
        return {path: int(size) for size, path in fields}
    listed = _rsync(settings, "--recursive", "--list-only", _there(settings))
    # Each line: mode, size, date, time, name; our names have no spaces.
    lines = [line.split() for line in listed.splitlines() if line.startswith("-")]
    return {fields[-1]: int(fields[1].replace(",", "")) for fields in lines}


def _copy(settings: Settings, paths: Sequence[str], *, to: Path | None = None) -> None:
    """Copy these paths from the store to the destination, or from there into a folder."""
    source, target = (_there(settings), f"{to}/") if to else (f"{settings.directory}/",
                                                              _there(settings))  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{path}\n" for path in paths))
        file.flush()
        if settings.offsite == "rsync":
            _rsync(settings, "--archive", f"--files-from={file.name}", source, target)
        else:
            _rclone("copy", "--files-from-raw", file.name, source, target)


def _remove(settings: Settings, doomed: Sequence[str]) -> None:
    """Remove exactly these paths there."""
    if not doomed:
        return
    patterns = [f"/{path}**" if path.endswith("/") else f"/{path}" for path in doomed]
    if settings.offsite == "s3":
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(patterns) + "\n")
            file.flush()
            _rclone("delete", "--rmdirs", "--include-from", file.name, _there(settings))
        return
    # rsync deletes what an empty folder does not have, but nothing that a filter does not name.
    with tempfile.TemporaryDirectory() as empty:
        filters = []
        for path in doomed:
            for parent in reversed(Path(path).parents[:-1]):
                (Path(empty) / parent).mkdir(exist_ok=True)
                filters.append(f"--include=/{parent}/")
            filters.append(f"--include=/{path}***" if path.endswith("/") else f"--include=/{path}")
        unique = list(dict.fromkeys(filters))
        _rsync(settings, "--recursive", "--delete", *unique, "--exclude=*", f"{empty}/",
               _there(settings))  # fmt: skip


def _rsync(settings: Settings, *arguments: str) -> str:
    ssh = (
        f"ssh -i {KEY} -p {settings.ssh_port} -o IdentitiesOnly=yes -o BatchMode=yes"
        f" -o ConnectTimeout=20 -o UserKnownHostsFile={KNOWN_HOSTS}"
        " -o StrictHostKeyChecking=accept-new"
    )
    try:
        return run(["rsync", "--timeout=300", f"--rsh={ssh}", *arguments], seconds=SECONDS)
    except CommandError as problem:
        if "ermission denied (" not in str(problem):
            raise
        raise CommandError(f"{problem}\n{_invitation(settings)}") from None


def _invitation(settings: Settings) -> str:
    """Say what the destination has to know of a host that it does not let in."""
    key = KEY.with_suffix(".pub").read_text(encoding="utf-8").strip()
    only = ',command="rrsync -wo -no-del -no-overwrite -no-lock FOLDER"'
    limits = f"restrict{only if settings.offsite_retention == 'there' else ''}"
    return (
        f"{settings.destination} does not let this host in yet. Append to the authorized_keys of"
        f" its user: {limits} {key}"
    )


def _rclone(*arguments: str) -> str:
    return run(["rclone", "--config", str(RCLONE_CONFIG), *arguments], seconds=SECONDS)
