"""Copies of the binary logs that are closed, for restores to a point in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath

from order_service.backup import group
from order_service.backup.binlog_events import transactions
from order_service.backup.files import pack, suffix
from order_service.backup.mysql_session import Server, Session
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import (
    PARTIAL,
    TIME_FORMAT,
    BinlogCopy,
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
_CATCH_UP = "SET SESSION group_replication_consistency = 'BEFORE', SESSION wait_timeout = 60"


@dataclass(frozen=True)
class _Log:
    """A closed log, and the moment before which all that was committed is in it or its elders."""

    server_uuid: str
    path: PurePosixPath
    bytes: int
    moment: datetime
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
            session.query(_CATCH_UP)
        ((uuid, base, executed),) = session.query(
            "SELECT @@server_uuid, @@log_bin_basename, REPLACE(@@gtid_executed, '\\n', '')"
        )
        if executed != store.last("binlog").get("gtid_executed"):
            session.query("FLUSH LOCAL BINARY LOGS")
        logs = session.query("SHOW BINARY LOGS")
        needed_from = _oldest_needed(store, uuid, of_others=in_group)
        present = {copy.log for copy in store.copies(uuid)}
        found = [
            _Log(
                server_uuid=uuid,
                path=PurePosixPath(base).with_name(log),
                bytes=int(size),
                moment=moment,
                gtids_before=_gtids_before(session, log),
                gtids_after=_gtids_before(session, following),
            )
            for (log, size, *_), (following, *_) in pairwise(logs)
            if needed_from is not None and binlog_number(log) >= needed_from and log not in present
        ]
    copied = sum(_copy(settings, store, log) for log in found)
    return State(
        server_uuid=uuid,
        gtid_executed=executed,
        bytes=copied,
        until=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _gtids_before(session: Session, log: str) -> str:
    ((*_, gtids),) = session.query(_PREVIOUS.format(log))
    return gtids.replace("\\n", "")


def _oldest_needed(store: Store, uuid: str, *, of_others: bool) -> int | None:
    """Return the number of the log at which the server's oldest full backup begins.

    It is the first one where the backups are those `of_others`.
    """
    numbers = [
        binlog_number(one["binlog"]["file"])
        for one in store.manifests().values()
        if one["server_uuid"] == uuid
    ]
    return min(numbers, default=1 if of_others else None)


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
        facts = BinlogCopy(
            log=log.path.name,
            server_uuid=log.server_uuid,
            copied_at=stamp,
            last_commit=commits[-1].isoformat() if commits else None,
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
