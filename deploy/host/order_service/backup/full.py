"""A full backup: mysqldump's, with the digests of its own snapshot.

Two sessions have to see the same moment: mysqldump's, and the one that counts and hashes the rows.
So a session of ours holds a lock while both begin their snapshots (see snapshot.py), for some
100 ms; after that no writer waits. That nothing was committed meanwhile is not believed but
compared: the GTIDs. mysqldump must take no lock of its own (`--source-data` has it flush the
tables): it would wait for a statement that waits for our lock with a table open, which MySQL does
not see as a deadlock, and no writer could go on until one of them gave up.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from order_service.backup import external, host_secrets
from order_service.backup.files import pack, suffix
from order_service.backup.mysql_session import Server, Session
from order_service.backup.settings import BackupError, Settings
from order_service.backup.snapshot import Dump, begin
from order_service.backup.store import (
    MANIFEST,
    PARTIAL,
    TIME_FORMAT,
    Manifest,
    Store,
    check_space,
    sync_folder,
)
from order_service.backup.table_digests import digests
from order_service.host import write_json
from order_service.release import ledger

# Waits for a line, so that its start is over when the lock is taken; loose: not all versions know.
_DUMP = """echo '-- order-service'; read -r _; exec "$0" "$@" """
_OPTIONS = (
    "--single-transaction",
    "--set-gtid-purged=OFF",
    "--no-tablespaces",
    "--hex-blob",
    "--loose-skip-masking-policies",
)
# The release's migrations make none of these; a user of the server may have.
_OWN_OPTIONS = ("--routines", "--events", "--triggers")


class _Watch:
    """What passes by while the dump is packed."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.bytes = 0
        self._tail = b""

    def __call__(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self._tail = (self._tail + chunk)[-200:]
        self.started.set()

    def check(self) -> None:
        """Refuse a dump that is not whole."""
        if b"\n-- Dump completed" not in self._tail:
            raise BackupError("mysqldump ended before its dump was complete")


def take(settings: Settings, store: Store, kind: str) -> Manifest:
    """Make a full backup and put it into the store; the caller holds the lock `dump`.

    Raises:
        BackupError: it could not be made; nothing of it is left.
    """
    begun = time.monotonic()
    server = external.server(settings, "backup")
    _wait_for_free_id(store)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=store.folder))
    try:
        with server.session() as session:
            facts = _facts(session, settings)
            check_space(store.folder, _estimate(store, facts["bytes"]), settings.reserve)
            name = f"{settings.database}.sql{suffix(settings.public_key)}"
            with _dumping(server, settings, partial / name) as (dump, watch):
                snapshot = begin(settings, server, session, dump)
                tables = digests(session, settings.database)
                packed = dump.result.result()
            watch.check()
        secrets = host_secrets.keep(partial, settings) if settings.public_key else None
        manifest = Manifest(
            format=1,
            id=snapshot.taken_at.strftime(TIME_FORMAT),
            kind=kind,
            host=socket.gethostname(),
            release=ledger.read()["active"],
            mysql_version=facts["version"],
            server_uuid=facts["uuid"],
            database=settings.database,
            binlog={"file": snapshot.log, "position": snapshot.position},
            gtid_executed=snapshot.gtid_executed,
            tables=tables,
            file=name,
            bytes=packed.bytes,
            sha256=packed.sha256,
            sql_bytes=watch.bytes,
            encrypted_to=settings.public_key or None,
            secrets=secrets,
            seconds=round(time.monotonic() - begun, 2),
            writers_held_milliseconds=snapshot.held_milliseconds,
        )
        write_json(partial / MANIFEST, manifest)
        sync_folder(partial)
        partial.rename(store.folder / manifest["id"])
        sync_folder(store.folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


@contextmanager
def _dumping(server: Server, settings: Settings, target: Path) -> Iterator[tuple[Dump, _Watch]]:
    """Have mysqldump ready to begin, its output being packed beside."""
    options = _OPTIONS if settings.external else (*_OPTIONS, *_OWN_OPTIONS)
    dump = server.command("mysqldump", *options, settings.database)
    at = dump.index("mysqldump")
    command = [*dump[:at], "sh", "-c", _DUMP, *dump[at:]]
    watch = _Watch()
    read_end, write_end = os.pipe()

    def let_go() -> None:
        os.write(write_end, b"\n")

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(
            pack,
            command,
            target,
            public_key=settings.public_key,
            reserve=settings.reserve,
            watch=watch,
            stdin=read_end,
        )
        try:
            yield Dump(result, watch.started.is_set, let_go), watch
        finally:
            # Without its line, a dump that has not begun ends.
            os.close(write_end)
            os.close(read_end)


def _facts(session: Session, settings: Settings) -> dict[str, Any]:
    ((version, uuid, size),) = session.query(
        "SELECT @@version, @@server_uuid, IFNULL(SUM(DATA_LENGTH), 0)"  # noqa: S608
        f" FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{settings.database}'"
    )
    return {"version": version, "uuid": uuid, "bytes": int(size)}


def _estimate(store: Store, data_bytes: int) -> int:
    """Return the bytes that a backup may need: twice the last one, or the data uncompressed."""
    manifests = list(store.manifests().values())
    return 2 * manifests[-1]["bytes"] if manifests else data_bytes


def _wait_for_free_id(store: Store) -> None:
    """A backup is named by its second: the next one begins in another."""
    while datetime.now(UTC).strftime(TIME_FORMAT) in store.ids():
        time.sleep(0.05)
