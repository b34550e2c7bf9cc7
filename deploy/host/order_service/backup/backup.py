"""Makes backups: `backup full [KIND]`, `backup binlog`; timers and backup.yml run it.

Each run copies what is new off the host, and writes down how it ended (store.State).
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from order_service.backup import offsite
from order_service.backup.binlogs import copy_closed
from order_service.backup.full import take
from order_service.backup.mysql_session import Server
from order_service.backup.retention import expired_backups, expired_copies
from order_service.backup.settings import BackupError, Settings, load
from order_service.backup.store import Store
from order_service.host import RUN, CommandError, now, say

LOCK = RUN / "lock" / "order-service-backup.lock"
LOCK_SECONDS = 1800
# MySQL may be restarting when a timer fires.
RESTART_SECONDS = 30
KINDS = ("scheduled", "manual", "before-migration")


def main() -> None:
    """Run what the command line asks for."""
    run_main("backup", command)


def command(arguments: list[str]) -> None:
    """Do what the arguments ask for."""
    os.umask(0o077)
    settings = load()
    match arguments:
        case ["full"]:
            full(settings, "scheduled")
        case ["full", kind] if kind in KINDS:
            full(settings, kind)
        case ["binlog"]:
            binlog(settings)
        case _:
            sys.exit(f"usage: order-service backup full [{'|'.join(KINDS)}] | binlog")


def full(settings: Settings, kind: str) -> None:
    """Make a full backup, then copy the binary logs, apply the retention, and copy off the host."""
    store = open_store(settings)
    with locked(), remembered(store, "backup") as state:
        Server(settings.container, "backup").wait_until_up(RESTART_SECONDS)
        make_full(settings, store, kind, state)
        say(json.dumps(store.manifest(state["id"]), indent=2))


def make_full(settings: Settings, store: Store, kind: str, state: dict[str, Any]) -> None:
    """Do what `full` does, for a caller that holds the lock."""
    manifest = take(settings, store, kind)
    rows = sum(table["rows"] for table in manifest["tables"].values())
    state |= {"id": manifest["id"], "bytes": manifest["bytes"], "rows": rows}
    with remembered(store, "binlog") as binlogs:
        binlogs.update(copy_closed(settings, store))
    apply_retention(settings, store)
    state["offsite"] = offsite.send(settings)


def binlog(settings: Settings) -> None:
    """Copy the binary logs that are new."""
    store = open_store(settings)
    with locked(), remembered(store, "binlog") as state:
        Server(settings.container, "backup").wait_until_up(RESTART_SECONDS)
        state.update(copy_closed(settings, store))
        state["offsite"] = offsite.send(settings)


def open_store(settings: Settings) -> Store:
    """Return the host's own store, made if need be."""
    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Store(settings.directory)


def apply_retention(settings: Settings, store: Store) -> None:
    """Remove the backups that have had their time, and the binary logs of before the oldest."""
    servers = store.servers()
    doomed = expired_backups(servers, datetime.now(UTC), settings.keep_days, settings.keep_at_least)
    for backup in doomed:
        store.remove_backup(backup)
        del servers[backup]
    for copy in expired_copies(store.copies(), servers):
        store.remove_copy(copy)


@contextmanager
def locked() -> Iterator[None]:
    """Let one backup or restore run at a time; the lock ends with its process.

    Raises:
        BackupError: another one ran for all the time.
    """
    with LOCK.open("w") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BackupError(
                        f"another backup or restore has been running for {LOCK_SECONDS} s; see"
                        " `systemctl list-units 'order-service-*'`"
                    ) from None
                time.sleep(0.2)
        yield


@contextmanager
def remembered(store: Store, what: str) -> Iterator[dict[str, Any]]:
    """Write down how the block ended, with the figures that it has added until then."""
    store.remove_partial()
    begun, started_at = time.monotonic(), now()
    state: dict[str, Any] = {}
    end: dict[str, Any] = {"outcome": "failed", "error": "interrupted"}
    try:
        yield state
        end = {"outcome": "ok", "error": None, "last_ok_at": now()}
    except Exception as problem:
        end["error"] = str(problem)
        raise
    finally:
        seconds = round(time.monotonic() - begun, 2)
        times = {"started_at": started_at, "finished_at": now(), "seconds": seconds}
        store.remember(what, {**state, **end, **times})


def run_main(program: str, work: Callable[[list[str]], None]) -> None:
    """Run a program, and end it with one line when it cannot do its work."""
    try:
        work(sys.argv[1:])
    except (BackupError, CommandError, OSError) as problem:
        sys.exit(f"{program}: {problem}")
