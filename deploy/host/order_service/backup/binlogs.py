"""Copies of the binary logs that are closed, for restores to a point in time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath

from order_service.backup import group
from order_service.backup.binlog_events import transactions
from order_service.backup.files import pack, suffix
from order_service.backup.gtids import Gtids
from order_service.backup.mysql_session import Server, Session
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import (
    PARTIAL,
    TIME_FORMAT,
    BinlogCopy,
    Copy,
    State,
    Store,
    binlog_number,
    check_space,
    sidecar,
    sync_folder,
)
from order_service.host import run, write_json

# The second of a log's events: what was committed before its first transaction.
_PREVIOUS = "SHOW BINLOG EVENTS IN '{}' FROM 4 LIMIT 1, 1"
# A member of a group answers when it has all that was committed in the group before.
_CATCH_UP = (
    "SET SESSION group_replication_consistency = 'BEFORE', SESSION wait_timeout = 60",
    # What reads no table waits for nothing.
    "SELECT COUNT(*) FROM information_schema.SCHEMATA",
)


@dataclass(frozen=True)
class _Log:
    """A closed log, and when it was found; what was committed before that is in it or its elders
    if it is the last one."""

    server_uuid: str
    path: PurePosixPath
    bytes: int
    moment: datetime
    is_last: bool
    gtids_before: str
    gtids_after: str


def copy_closed(settings: Settings, store: Store) -> State:
    """Have MySQL begin a new log if there is news in its last one, and copy the closed ones.

    The caller holds the lock `binlogs`.

    Raises:
        BackupError: that failed; what was copied until then stays.
    """
    moment = datetime.now(UTC)
    for leftover in store.binlogs.glob(f"*/{PARTIAL}*"):
        leftover.unlink()
    in_group = group.is_one()
    with Server(settings.container, "backup").session() as session:
        if in_group:
            for statement in _CATCH_UP:
                session.query(statement)
        ((uuid, base, executed, purged),) = session.query(
            "SELECT @@server_uuid, @@log_bin_basename, REPLACE(@@gtid_executed, '\\n', ''),"
            " @@gtid_purged"
        )
        if executed != store.last("binlog").get("gtid_executed"):
            session.query("FLUSH LOCAL BINARY LOGS")
        logs = session.query("SHOW BINARY LOGS")
        # A member of a group has logs that lead on from the others' backups.
        needed_from = 1 if in_group else _oldest_needed(store, uuid)
        present = copied_already(store, uuid, binlog_number(logs[-1][0]))
        found = [
            _Log(
                server_uuid=uuid,
                path=PurePosixPath(base).with_name(log),
                bytes=int(size),
                moment=moment,
                is_last=following == logs[-1][0],
                gtids_before=_gtids_before(session, log, purged),
                gtids_after=_gtids_before(session, following, purged),
            )
            for (log, size, *_), (following, *_) in pairwise(logs)
            if needed_from is not None
            and binlog_number(log) >= needed_from
            and (log, int(size)) not in present
        ]
    copied = sum(_copy(settings, store, log) for log in found)
    return State(
        server_uuid=uuid,
        gtid_executed=executed,
        bytes=copied,
        until=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _gtids_before(session: Session, log: str, purged: str) -> str:
    """Return what the server had before the log; a cloned one has never logged some of it."""
    ((*_, logged),) = session.query(_PREVIOUS.format(log))
    return str(Gtids.parse(logged) | Gtids.parse(purged))


def copied_already(store: Store, uuid: str, open_log: int) -> set[tuple[str, int]]:
    """Return the logs that are copied, with their sizes.

    A server that is cloned keeps its UUID, and begins to number its logs anew: those of before are
    others than those that it has now.
    """
    run: list[Copy] = []
    for copy in sorted(store.copies(uuid), key=lambda copy: (copy.copied_at, copy.number)):
        if run and copy.number <= run[-1].number:
            run = []
        run.append(copy)
    if run and run[-1].number >= open_log:
        return set()
    found = set()
    for copy in run:
        with suppress(BackupError):  # nothing is noted about it: it is copied again
            found.add((copy.log, store.copy_facts(copy)["log_bytes"]))
    return found


def _oldest_needed(store: Store, uuid: str) -> int | None:
    """Return the number of the log at which the server's oldest full backup begins."""
    numbers = [
        binlog_number(one["binlog"]["file"])
        for one in store.manifests().values()
        if one["server_uuid"] == uuid
    ]
    return min(numbers, default=None)


def _copy(settings: Settings, store: Store, log: _Log) -> int:
    folder = store.binlogs / log.server_uuid
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_space(store.folder, 2 * log.bytes, settings.reserve)
    stamp = log.moment.strftime(TIME_FORMAT)
    name = f"{log.path.name}_{stamp}{suffix(settings.public_key)}"
    plain, partial = folder / f"{PARTIAL}log", folder / f"{PARTIAL}{name}"
    try:
        _fetch(settings, log, plain)
        commits = [transaction.committed for transaction in transactions(plain)]
        packed = pack(
            ["cat", str(plain)], partial, public_key=settings.public_key, reserve=settings.reserve
        )
        last_commit = commits[-1].isoformat() if commits else None
        facts = BinlogCopy(
            log=log.path.name,
            server_uuid=log.server_uuid,
            copied_at=stamp,
            last_commit=last_commit,
            complete_until=f"{log.moment:%Y-%m-%dT%H:%M:%S+00:00}" if log.is_last else last_commit,
            transactions=len(commits),
            log_bytes=log.bytes,
            gtids_before=log.gtids_before,
            gtids_after=log.gtids_after,
            file=name,
            bytes=packed.bytes,
            sha256=packed.sha256,
        )
        # The facts first: what has a name of its own is whole.
        write_json(sidecar(folder / name), facts)
        partial.rename(folder / name)
        sync_folder(folder)
    finally:
        plain.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    return packed.bytes


def _fetch(settings: Settings, log: _Log, plain: Path) -> None:
    """Copy a log out of the container as it is: the official image has no mysqlbinlog."""
    run(["docker", "cp", f"{settings.container}:{log.path}", str(plain)], seconds=600)
    found = plain.stat().st_size
    if found != log.bytes:
        raise BackupError(f"{log.path.name} has {found} bytes, MySQL says {log.bytes}; try again")
