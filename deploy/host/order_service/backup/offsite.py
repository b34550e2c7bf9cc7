"""Copies of the backups elsewhere: by rsync over SSH, or in an S3-compatible store by rclone.

Nothing there is deleted because it is missing here, so a host that lost its disk, and begins anew
with the same destination, empties nothing. What the retention removes is decided by the names and
manifests that are there, by the same rules as here.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from order_service.backup.retention import expired_backups, expired_copies
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import MANIFEST, PARTIAL, TIME, Store, parse_copy, sidecar
from order_service.host import SETTINGS, run

SECONDS = 3600
KEY = SETTINGS / "backup_key"
KNOWN_HOSTS = SETTINGS / "backup_known_hosts"
RCLONE_CONFIG = SETTINGS / "rclone.conf"
_REMOTE = "offsite"


def send(settings: Settings) -> str:
    """Copy what is new, remove there what has had its time, and return where it went.

    Raises:
        CommandError: the destination refused, or was not reached.
    """
    if settings.offsite == "none":
        return "none"
    source = f"{settings.directory}/"
    if settings.offsite == "rsync":
        _rsync(settings, "--archive", f"--exclude={PARTIAL}*", source, _there(settings))
    else:
        _rclone("copy", "--exclude", f"{PARTIAL}*", "--exclude", f"{PARTIAL}*/**", source,
                _there(settings))  # fmt: skip
    if doomed := _expired(settings, datetime.now(UTC)):
        _remove(settings, doomed)
    return settings.destination


def fetch(settings: Settings, target: Path) -> None:
    """Copy everything that is there into a folder.

    Raises:
        BackupError: no destination is set.
        CommandError: it refused, or was not reached.
    """
    if settings.offsite == "none":
        raise BackupError(
            "there is no copy off this host: set backup_destination and run deploy.yml"
        )
    if settings.offsite == "rsync":
        _rsync(settings, "--archive", _there(settings), f"{target}/")
    else:
        _rclone("copy", _there(settings), f"{target}/")


def expired_names(
    names: Sequence[str], servers: Mapping[str, str], settings: Settings, now: datetime
) -> list[str]:
    """Return which of the paths in a store have had their time; folders end with a slash.

    Args:
        names: all paths.
        servers: the server of each full backup whose manifest can be read.
    """
    doomed = expired_backups(servers, now, settings.keep_days, settings.keep_at_least)
    copies = []
    for listed in names:
        folder, _, rest = listed.partition("/")
        uuid, _, name = rest.partition("/")
        if folder == "binlogs" and (copy := parse_copy(uuid, name)):
            copies.append(copy)
    kept = {backup: server for backup, server in servers.items() if backup not in doomed}
    expired = [f"{backup}/" for backup in doomed]
    for copy in expired_copies(copies, kept):
        path = Path("binlogs") / copy.server_uuid / copy.name
        expired += [str(path), str(sidecar(path))]
    return expired


def _expired(settings: Settings, now: datetime) -> list[str]:
    names = _names(settings)
    manifests = filter(re.compile(f"({TIME})/{MANIFEST}").fullmatch, names)
    backups = [path.partition("/")[0] for path in manifests]
    # Manifests are fetched only where they matter: what stays if all were one server's stays.
    if not expired_backups(
        dict.fromkeys(backups, ""), now, settings.keep_days, settings.keep_at_least
    ):
        return []
    return expired_names(names, _servers(settings), settings, now)


def _servers(settings: Settings) -> dict[str, str]:
    """Return the server of each full backup that is there."""
    with tempfile.TemporaryDirectory(prefix="off-the-host-") as folder:
        if settings.offsite == "s3":
            _rclone("copy", "--include", f"/*/{MANIFEST}", _there(settings), folder)
        else:
            only = ("--include=/*/", f"--include=/*/{MANIFEST}", "--exclude=*")
            _rsync(settings, "--recursive", *only, _there(settings), f"{folder}/")
        return Store(Path(folder)).servers()


def _there(settings: Settings) -> str:
    place = settings.destination.rstrip("/")
    return f"{place}/" if settings.offsite == "rsync" else f"{_REMOTE}:{place}"


def _names(settings: Settings) -> list[str]:
    if settings.offsite == "s3":
        return _rclone("lsf", "--recursive", "--files-only", _there(settings)).splitlines()
    listed = _rsync(settings, "--recursive", "--list-only", _there(settings)).splitlines()
    # Each line: mode, size, date, time, name; our names have no spaces.
    return [line.split()[-1] for line in listed if line.startswith("-")]


def _remove(settings: Settings, doomed: Sequence[str]) -> None:
    """Remove exactly these paths."""
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
    return run(["rsync", "--timeout=300", f"--rsh={ssh}", *arguments], seconds=SECONDS)


def _rclone(*arguments: str) -> str:
    return run(["rclone", "--config", str(RCLONE_CONFIG), *arguments], seconds=SECONDS)
