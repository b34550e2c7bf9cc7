"""What a restore reads: the host's own backups, a folder of others, or those off the host."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from order_service.backup import external, offsite
from order_service.backup.backup import open_store
from order_service.backup.host_secrets import Packed, is_younger
from order_service.backup.locks import locked
from order_service.backup.settings import BackupError, Settings, warn
from order_service.backup.store import PARTIAL, Store, check_space, parse_time
from order_service.dotenv import head
from order_service.restore.plan import Plan, check, check_key, choose, choose_backup, notes

OFFSITE = "offsite"


@dataclass(frozen=True)
class Source:
    """A store, the key to it, and a folder for what is there for its time alone."""

    store: Store
    identity: Path | None
    workspace: Path
    # Not the host's own: it may have backups of several servers.
    foreign: bool = False


@contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """Have the scratch server for oneself, and a folder in the store that goes at the end.

    What an interrupted run leaves goes with the next backup.

    Raises:
        BackupError: another one uses it for too long.
    """
    folder = open_store(settings).folder
    with (
        locked(folder, "scratch"),
        tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as made,
    ):
        yield Path(made)


@contextmanager
def source(
    settings: Settings, given: argparse.Namespace, identity: Path | None
) -> Iterator[Source]:
    """Have what is asked for, and a workspace."""
    try:
        with workspace(settings) as folder:
            if given.store is None:
                yield Source(open_store(settings), identity, folder)
            else:
                place = folder if is_off_the_host(given) else given.store
                yield Source(Store(place), identity, folder, foreign=True)
    finally:
        if given.discard:
            shutil.rmtree(given.store, ignore_errors=True)


def is_off_the_host(given: argparse.Namespace) -> bool:
    """Return whether the copies at the destination are asked for."""
    return str(given.store) == OFFSITE


def planned(settings: Settings, given: argparse.Namespace, source: Source) -> Plan:
    """Choose what to restore, have it here, and refuse what is damaged or cannot be read.

    Raises:
        BackupError: there is no such backup, its key or room for it is missing, or it is damaged.
        CommandError: the destination was not reached.
    """
    store = source.store
    sizes = offsite.index(settings, store.folder) if is_off_the_host(given) else {}
    asked = (store, given.backup, given.until)
    if sizes and given.until:
        noted = notes(store, choose_backup(*asked, foreign=source.foreign))
        offsite.fetch(settings, store.folder, [path for path in noted if path in sizes])
    plan = choose(*asked, foreign=source.foreign)
    check_key(store, plan, source.identity)
    if sizes:
        paths = plan.paths(store)
        if missing := [path for path in paths if path not in sizes]:
            raise BackupError(f"{', '.join(missing)} is missing off the host; use another backup")
        check_space(store.folder, sum(sizes[path] for path in paths), settings.reserve)
        offsite.fetch(settings, store.folder, paths)
    check(store, plan)
    return plan


def secrets(
    settings: Settings, given: argparse.Namespace, source: Source, plan: Plan
) -> Packed | None:
    """Return the secrets that this host is to have, or None for its own.

    Unless that is said, a host gets a backup's when it was set up after the backup was made, and
    has served nothing.

    Raises:
        BackupError: they are asked for, and the backup has none.
    """
    wanted = given.secrets
    if maker := head():
        if wanted:
            raise BackupError(f"this host's secrets are made on {maker}: restore there, or without")
        return None
    if wanted is None:
        younger = source.foreign and is_younger(parse_time(plan.manifest["id"]))
        if not younger or _has_orders(settings):
            return None
    if wanted is False:
        return None
    if packed := source.store.secrets(plan.manifest):
        return Packed(packed, source.identity)
    lacking = (
        f"the backup {plan.manifest['id']} has no passwords, signing secrets and authority: it was"
        " made without backup_public_key"
    )
    if wanted:
        raise BackupError(lacking)
    warn(f"{lacking}. This host keeps its own, and its clients have to be given them")
    return None


def _has_orders(settings: Settings) -> bool:
    try:
        server = external.server(settings, "root")
        return bool(server.query(f"SELECT 1 FROM `{settings.database}`.orders LIMIT 1"))  # noqa: S608
    except BackupError:  # there is no such table
        return False


@contextmanager
def identity(given: Path | None) -> Iterator[Path | None]:
    """Give the path of the private key; one from the standard input is on no disk."""
    if str(given) != "-":
        yield given
        return
    descriptor = os.memfd_create("identity")
    try:
        os.write(descriptor, sys.stdin.buffer.read())
        # For programs that this one runs: they may open what it has open.
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)
