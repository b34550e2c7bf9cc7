"""Where backups lie, and what is written down about them.

    <UTC time>/manifest.json            a full backup: see Manifest
    <UTC time>/orders.sql.zst[.age]
    <UTC time>/secrets.tar.zst.age      what a new host needs, too: see host_secrets
    binlogs/<server's UUID>/<log>_<UTC time of the copy>.zst[.age]
    binlogs/<server's UUID>/<log>_<UTC time of the copy>.json   see BinlogCopy
    last-backup.json, last-binlog.json, last-drill.json: see State

Whatever is under way has a name that begins with `.partial-`; what has its own name is whole. Off
the host a full backup is whole once its manifest is there, which is sent last.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, cast

from order_service.backup.locks import locked
from order_service.backup.settings import BackupError, warn
from order_service.backup.table_digests import Digest
from order_service.host import read_json, write_json

TIME_FORMAT = "%Y-%m-%dT%H%M%SZ"
TIME = r"\d{4}-\d\d-\d\dT\d{6}Z"
_ID = re.compile(TIME)
_COPY = re.compile(rf"(.+\.\d{{6,}})_({TIME})\.zst(?:\.age)?")
MANIFEST = "manifest.json"
LAST_BINLOG = "last-binlog.json"
PARTIAL = ".partial-"
# Kinds of backups: BEFORE_RESTORE's are of what a restore was about to replace.
BEFORE_MIGRATION = "before-migration"
BEFORE_UPGRADE = "before-upgrade"
BEFORE_RESTORE = "before-restore"
AFTER_RESTORE = "after-restore"


class PackedFile(TypedDict):
    """A file of a backup, and how to know it again."""

    file: str
    bytes: int
    sha256: str


class _Kept(TypedDict, total=False):
    secrets: PackedFile | None  # None: not encrypted, so they are not kept; older ones lack it


class Manifest(PackedFile, _Kept):
    """What a full backup is. Times are RFC 3339, UTC."""

    format: int  # 1
    id: str  # the snapshot's time, and the folder's name
    kind: str  # scheduled, manual, or one of those above
    host: str
    release: str | None  # what served then
    mysql_version: str
    server_uuid: str
    database: str
    binlog: dict[str, Any]  # file and position: what is before them is in the backup
    gtid_executed: str
    tables: dict[str, Digest]  # of the dump, whose file this is
    sql_bytes: int  # of the dump before it was compressed
    encrypted_to: str | None  # the public key
    seconds: float
    writers_held_milliseconds: int  # for how long the snapshot kept writers waiting


class _Numbered(TypedDict, total=False):
    # What was committed before the log's first transaction and up to its last one, on that server;
    # older copies lack it.
    gtids_before: str
    gtids_after: str
    # RFC 3339: what the server committed before is in this copy or its elders; None: not known.
    complete_until: str | None


class BinlogCopy(PackedFile, _Numbered):
    """What the copy of a binary log is."""

    log: str
    server_uuid: str
    copied_at: str
    last_commit: str | None  # RFC 3339 with microseconds
    transactions: int
    log_bytes: int


class State(TypedDict, total=False):
    """How the last run ended: last-backup.json, last-binlog.json and last-drill.json."""

    outcome: str  # "ok" or "failed"
    started_at: str
    finished_at: str
    seconds: float
    error: str | None
    last_ok_at: str | None
    # Of the last one that came so far:
    id: str | None  # of the backup that was made, or drilled
    bytes: int
    rows: int
    offsite: str  # "none", or where the copy went
    left_to: str | None  # the member of the group that makes it, and this host does not
    # last-binlog.json: what this server committed before that is in the copies.
    until: str
    server_uuid: str
    gtid_executed: str


@dataclass(frozen=True)
class Copy:
    """A copied binary log, by its name alone."""

    server_uuid: str
    name: str
    log: str
    number: int
    copied_at: datetime


def parse_time(text: str) -> datetime:
    """Return the time that an id names."""
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)


def parse_copy(server_uuid: str, name: str) -> Copy | None:
    """Return what the name of a copied binary log says, or None for another file."""
    found = _COPY.fullmatch(name)
    if not found:
        return None
    log = found[1]
    return Copy(server_uuid, name, log, binlog_number(log), parse_time(found[2]))


def binlog_number(log: str) -> int:
    """Return the number of a binary log: 12 of `binlog.000012`."""
    return int(log.rpartition(".")[2])


class Store:
    """A folder of backups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binlogs = folder / "binlogs"

    def ids(self) -> list[str]:
        """Return the full backups' ids, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if _ID.fullmatch(entry.name))

    def manifest(self, backup: str) -> Manifest:
        """Return a backup's manifest.

        Raises:
            BackupError: there is none, or it is damaged.
        """
        path = self.folder / backup / MANIFEST
        if not path.parent.is_dir():
            raise BackupError(
                f"there is no backup {backup!r} in {self.folder}; there are:"
                f" {', '.join(self.ids()) or 'none'}"
            )
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise BackupError(f"{path} is damaged: {problem}; use another backup") from None
        keys = found.keys() if isinstance(found, dict) else set()
        if missing := sorted(Manifest.__required_keys__ - keys):
            raise BackupError(f"{path} is damaged: {', '.join(missing)} is missing")
        # Who has the copies may have changed them: nothing is fetched to another place.
        if found["id"] != backup:
            raise BackupError(f"{path} is damaged: it is of {found['id']!r}")
        for packed in (found, found.get("secrets") or found):
            if packed["file"] != Path(packed["file"]).name:
                raise BackupError(f"{path} is damaged: {packed['file']} is no file's name")
        return cast("Manifest", found)

    def manifests(self) -> dict[str, Manifest]:
        """Return the manifests by their ids, oldest first; those that are damaged are told."""
        found = {}
        for backup in self.ids():
            try:
                found[backup] = self.manifest(backup)
            except BackupError as problem:
                warn(f"{problem}; it is left out, and stays until somebody removes it")
        return found

    def dump(self, manifest: Manifest) -> Path:
        """Return where a backup's dump lies."""
        return self.folder / manifest["id"] / manifest["file"]

    def secrets(self, manifest: Manifest) -> Path | None:
        """Return where a backup's secrets lie, if it has any."""
        found = manifest.get("secrets")
        return self.folder / manifest["id"] / found["file"] if found else None

    def copies(self, server_uuid: str | None = None) -> list[Copy]:
        """Return the copied binary logs, of one server or of all, in their order."""
        found = []
        for folder in self.binlogs.iterdir() if self.binlogs.is_dir() else ():
            if server_uuid in (None, folder.name):
                found += [
                    copy for f in folder.iterdir() if (copy := parse_copy(folder.name, f.name))
                ]
        return sorted(found, key=lambda copy: (copy.server_uuid, copy.number, copy.copied_at))

    def copy_path(self, copy: Copy) -> Path:
        """Return where a copied binary log lies."""
        return self.binlogs / copy.server_uuid / copy.name

    def copy_facts(self, copy: Copy) -> BinlogCopy:
        """Return what was written down about a copied binary log.

        Raises:
            BackupError: nothing was, or it is damaged.
        """
        path = sidecar(self.copy_path(copy))
        try:
            return cast("BinlogCopy", json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError) as problem:
            raise BackupError(f"{path} is missing or damaged: {problem}") from None

    def remove_backup(self, backup: str) -> None:
        """Remove a full backup; an interruption leaves a partial one, which is removed later."""
        doomed = self.folder / f"{PARTIAL}{backup}"
        (self.folder / backup).rename(doomed)
        shutil.rmtree(doomed)

    def remove_copy(self, copy: Copy) -> None:
        """Remove a copied binary log."""
        path = self.copy_path(copy)
        path.unlink()
        sidecar(path).unlink(missing_ok=True)

    def remove_partial(self) -> None:
        """Remove what interrupted dumps, removals and restores left."""
        for entry in self.folder.glob(f"{PARTIAL}*"):
            shutil.rmtree(entry)

    def last(self, what: str) -> State:
        """Return how the last run went: of `backup`, `binlog` or `drill`."""
        return cast("State", read_json(self.folder / f"last-{what}.json", {}))

    def remember(self, what: str, state: Mapping[str, Any]) -> None:
        """Write down how a run went; figures that it has not come to stay as they were."""
        with locked(self.folder, f"last-{what}"):
            write_json(self.folder / f"last-{what}.json", {**self.last(what), **state})


def check_space(folder: Path, needed: int, reserve: int) -> None:
    """Refuse to begin what would leave less than the reserve on the folder's disk.

    Raises:
        BackupError: there is too little.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + reserve:
        raise BackupError(
            f"{folder} has {free >> 20} MiB free; this needs {needed >> 20} MiB and leaves"
            f" {reserve >> 20} MiB free (backup_reserve_megabytes): free some space; backups take"
            " less with backup_keep_days and backup_keep_at_least"
        )


def sidecar(copy: Path) -> Path:
    """Return where the facts about a copied binary log lie."""
    return copy.with_name(copy.name.partition(".zst")[0] + ".json")


def sync_folder(folder: Path) -> None:
    """Make a folder's new names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
