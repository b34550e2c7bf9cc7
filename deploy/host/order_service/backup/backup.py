"""Makes backups: `backup full [KIND]`, `backup binlog`; timers and backup.yml run it.

Each run copies what is new off the host, and writes down how it ended (store.State).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from order_service.backup import external, group, offsite
from order_service.backup.binlogs import copy_closed
from order_service.backup.full import take
from order_service.backup.locks import Busy, locked
from order_service.backup.mysql_session import Server
from order_service.backup.retention import expired
from order_service.backup.settings import BackupError, Settings, load, warn
from order_service.backup.store import (
    AFTER_RESTORE,
    BEFORE_MIGRATION,
    BEFORE_RESTORE,
    BEFORE_UPGRADE,
    Manifest,
    Store,
)
from order_service.host import CommandError, now, say

INTERRUPTS = (signal.SIGTERM, signal.SIGHUP)
# MySQL may be restarting when a timer fires.
RESTART_SECONDS = 30
KINDS = ("scheduled", "manual", BEFORE_MIGRATION, BEFORE_UPGRADE)
# What waits for these does not fail for a destination that is away.
WANTED_HERE = (BEFORE_MIGRATION, BEFORE_UPGRADE, BEFORE_RESTORE, AFTER_RESTORE)


EXTERNAL_LOGS = "whoever runs the database has its binary logs, and restores it to a point in time"


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
        case ["first"]:
            first(settings)
        case ["reach"]:
            offsite.reach(settings)
        case _:
            kinds = "|".join(KINDS)
            sys.exit(f"usage: order-service backup full [{kinds}] | binlog | first | reach")


def first(settings: Settings) -> None:
    """Make a full backup if there is none, and say how the last one ended.

    Raises:
        BackupError, CommandError: there is none, and none can be made.
    """
    store = open_store(settings)
    had = "id" in store.last("backup")
    if not had:
        try:
            full(settings, "manual")
        except (BackupError, CommandError):
            # Where only the copy off the host failed, that is said below.
            if "id" not in store.last("backup"):
                raise
    if (last := store.last("backup"))["outcome"] != "ok":
        warn(f"the last backup failed: {last['error']}")
    say("CHANGED" if not had and "id" in last else "UNCHANGED")


def full(settings: Settings, kind: str) -> None:
    """Make a full backup, apply the retention, and copy it and the binary logs off the host.

    Of a group one member makes those that nothing waits for.
    """
    store = open_store(settings)
    with remembered(store, "backup") as state:
        external.server(settings, "backup").wait_until_up(RESTART_SECONDS)
        state["left_to"] = None if kind in WANTED_HERE else group.makes_backups(settings)
        if state["left_to"]:
            # That one's are the newest: of this host's own none has to stay.
            _tidy_up(replace(settings, keep_at_least=0), store)
            say(json.dumps({"left_to": state["left_to"]}))
            return
        make_full(settings, store, kind, state)
        send_full(settings, kind, state)
        say(json.dumps(store.manifest(state["id"]), indent=2))


def make_full(settings: Settings, store: Store, kind: str, state: dict[str, Any]) -> None:
    """Make a full backup here, and apply the retention; the state gets its figures."""
    with locked(store.folder, "dump"):
        # Before it, too: on a full disk that makes the room for it.
        _tidy_up(settings, store)
        dump(settings, store, kind, state)
        _tidy_up(settings, store)


def _tidy_up(settings: Settings, store: Store) -> None:
    """Remove what has had its time; what a restore or an upload reads stays while it is at work."""
    with suppress(Busy), locked(store.folder, "scratch", 0):
        store.remove_partial()
        with locked(store.folder, "upload", 0):
            apply_retention(settings, store)


def dump(settings: Settings, store: Store, kind: str, state: dict[str, Any]) -> Manifest:
    """Make a full backup, for a caller that holds the lock `dump`; the state gets its figures."""
    manifest = take(settings, store, kind)
    rows = sum(table["rows"] for table in manifest["tables"].values())
    state |= {"id": manifest["id"], "bytes": manifest["bytes"], "rows": rows}
    return manifest


def send_full(settings: Settings, kind: str, state: dict[str, Any]) -> None:
    """Copy the binary logs, and the full backups off the host.

    Raises:
        BackupError, CommandError: that failed, and the backup is not one that was wanted here.
    """
    try:
        if not settings.external:
            binlog(settings)
        state["offsite"] = offsite.send_backups(settings)
    except (BackupError, CommandError) as problem:
        if kind not in WANTED_HERE:
            raise
        state["offsite"] = "none"
        warn(f"the copy off this host failed: {problem}")


def binlog(settings: Settings) -> None:
    """Copy the binary logs that are new, here and off the host; not somebody else's."""
    if settings.external:
        say(EXTERNAL_LOGS)
        return
    store = open_store(settings)
    with remembered(store, "binlog") as state:
        Server(settings.container, "backup").wait_until_up(RESTART_SECONDS)
        copy_binlogs(settings, store)
        state["offsite"] = offsite.send_binlogs(settings)


def copy_binlogs(settings: Settings, store: Store) -> None:
    """Copy the binary logs that are new, here alone."""
    with locked(store.folder, "binlogs"):
        store.remember("binlog", copy_closed(settings, store))


def open_store(settings: Settings) -> Store:
    """Return the host's own store, made if need be."""
    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Store(settings.directory)


def apply_retention(settings: Settings, store: Store) -> None:
    """Remove the backups that have had their time, and the binary logs of before the oldest."""
    backups, copies = expired(store, settings, datetime.now(UTC))
    for backup in backups:
        store.remove_backup(backup)
    for copy in copies:
        store.remove_copy(copy)


@contextmanager
def remembered(store: Store, what: str) -> Iterator[dict[str, Any]]:
    """Write down how the block ended, with the figures that it has added until then."""
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
    """Run a program, and end it with one line when it cannot do its work.

    So it does when systemd, or the end of a connection, interrupts it: it leaves nothing behind.
    """

    def interrupted(number: int, _: object) -> None:
        for one in INTERRUPTS:
            signal.signal(one, signal.SIG_IGN)
        sys.exit(f"{program}: interrupted by {signal.Signals(number).name}")

    for one in INTERRUPTS:
        signal.signal(one, interrupted)
    try:
        work(sys.argv[1:])
    except (BackupError, CommandError, OSError) as problem:
        sys.exit(f"{program}: {problem}")
