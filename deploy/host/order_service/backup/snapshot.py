"""The moment that a backup is of, seen by two sessions: ours, and that of mysqldump.

No writer can commit while both begin their snapshots. On a server of our own that is the global
read lock; whoever runs another one keeps that for himself, so there it is a lock of each table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from order_service.backup.files import Packed
from order_service.backup.mysql_session import Server, Session
from order_service.backup.settings import BackupError, Settings

LOCK_SECONDS = 10
START_SECONDS = 30


@dataclass(frozen=True)
class Snapshot:
    """When it was taken, what the binary log had then, and for how long writers waited."""

    taken_at: datetime
    log: str  # empty where the binary logs are somebody else's
    position: int
    gtid_executed: str
    held_milliseconds: int


@dataclass(frozen=True)
class Dump:
    """A mysqldump that is ready to begin; `started` says whether it is, `let_go` has it begin."""

    result: Future[Packed]
    started: Callable[[], bool]
    let_go: Callable[[], None]

    def wait(self, condition: Callable[[], bool], seconds: float, problem: str) -> None:
        """Wait for the condition.

        Raises:
            BackupError: the dump failed, or the seconds are over.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self.result.done():
                self.result.result()  # raises what it failed with
                return  # a small dump is over sooner than this looks; it is checked afterwards
            if time.monotonic() > deadline:
                raise BackupError(f"{problem} within {seconds:g} s")
            time.sleep(0.01)


def begin(settings: Settings, server: Server, session: Session, dump: Dump) -> Snapshot:
    """Let both snapshots begin at the same moment, while no writer can commit.

    Raises:
        BackupError: they did not.
    """
    dump.wait(dump.started, START_SECONDS, "mysqldump did not start")
    session.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    unlocks = _unlocks(session)
    held = _tables_held(settings, server) if settings.external else _all_held(session)
    begun = time.monotonic()
    with held:
        session.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        taken_at = datetime.now(UTC)
        log, position, gtids = _committed(settings, session)
        dump.let_go()
        # mysqldump unlocks when its snapshot has begun.
        dump.wait(lambda: _unlocks(session) > unlocks, LOCK_SECONDS, "mysqldump got no snapshot")
        # Not the position: a copy of the binary logs begins a new one at any moment.
        if _committed(settings, session)[2] != gtids:
            raise BackupError("orders were stored between the two snapshots; try again")
    milliseconds = round((time.monotonic() - begun) * 1000)
    return Snapshot(taken_at, log, position, gtids, milliseconds)


@contextmanager
def _all_held(session: Session) -> Iterator[None]:
    session.query(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
    session.query("FLUSH TABLES WITH READ LOCK")
    try:
        yield
    finally:
        session.query("UNLOCK TABLES")


@contextmanager
def _tables_held(settings: Settings, server: Server) -> Iterator[None]:
    """Hold the tables in a session of their own: a snapshot's beginning would let them go."""
    with server.session() as holding:
        holding.query(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
        tables = holding.query(
            "SELECT TABLE_NAME FROM information_schema.TABLES"  # noqa: S608
            f" WHERE TABLE_SCHEMA = '{settings.database}' AND TABLE_TYPE = 'BASE TABLE'"
        )
        if tables:
            names = (f"`{settings.database}`.`{name}` READ" for (name,) in tables)
            holding.query(f"LOCK TABLES {', '.join(names)}")
        yield


def _committed(settings: Settings, session: Session) -> tuple[str, int, str]:
    """Return the binary log, the position in it, and the GTIDs of what has been committed."""
    if settings.external:
        ((gtids,),) = session.query("SELECT @@gtid_executed")
        return "", 0, gtids.replace("\\n", "")
    ((log, position, _, _, gtids),) = session.query("SHOW BINARY LOG STATUS")
    return log, int(position), gtids.replace("\\n", "")


def _unlocks(session: Session) -> int:
    return int(session.query("SHOW GLOBAL STATUS LIKE 'Com_unlock_tables'")[0][1])
