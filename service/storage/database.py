"""The database: engines, transactions and time, the same on MySQL and on SQLite.

Every connection is in autocommit mode, so one statement costs one round trip; several statements
that belong together run in `Database.transaction`, which says BEGIN and COMMIT itself.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Engine, create_engine, event, exc
from sqlalchemy.engine import URL
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from service.server import handover
from service.storage.stall import DatabaseStalled, StallGuard
from service.telemetry import metrics

T = TypeVar("T")
log = logging.getLogger(__name__)

# PyMySQL waits this long, in seconds, before a request counts as lost.
CONNECT_TIMEOUT = 3
STATEMENT_TIMEOUT = 6
LOCK_WAIT_TIMEOUT = 2
# After this long, in seconds, MySQL rolls back for a client that is silent. A process that hangs,
# or whose host is gone, must not keep its locks for the eight hours of MySQL's default.
IDLE_TIMEOUT = 15
# How long a thread waits for a free connection of the pool.
POOL_TIMEOUT = 2
# SQLite has one writer at a time; the others wait for it this long.
SQLITE_BUSY_TIMEOUT = 5

LOCK_WAIT, DEADLOCK, NO_SUCH_TABLE = 1205, 1213, 1146
# How often a transaction is run again, by what stopped it. A deadlock ends at once, a wait for a
# lock only after LOCK_WAIT_TIMEOUT, and the client waits meanwhile.
RETRYABLE = {DEADLOCK: ("deadlock", 5), LOCK_WAIT: ("lock_wait_timeout", 1)}


UNAVAILABLE = (
    DatabaseStalled,
    handover.WaitedTooLong,
    exc.OperationalError,
    exc.InterfaceError,
    exc.InternalError,
    exc.TimeoutError,
    exc.DisconnectionError,
)


class utcnow(FunctionElement[Any]):  # noqa: N801 - a SQL function, named like one
    """The database's clock, in UTC with microseconds; `offset` seconds (a float) are added."""

    type = DateTime()
    inherit_cache = True
    name = "utcnow"

    def __init__(self, offset: Any = None) -> None:
        super().__init__(*(() if offset is None else (offset,)))


@compiles(utcnow, "mysql")
def _utcnow_mysql(element: utcnow, compiler: Any, **kwargs: Any) -> str:
    if not len(element.clauses):
        return "UTC_TIMESTAMP(6)"
    offset = compiler.process(element.clauses, **kwargs)
    return f"TIMESTAMPADD(MICROSECOND, ROUND(1000000 * {offset}), UTC_TIMESTAMP(6))"


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(element: utcnow, compiler: Any, **kwargs: Any) -> str:
    # SQLite's clock has milliseconds; the zeros make the text as wide as SQLAlchemy writes it,
    # so that moments compare as text.
    modifier = ""
    if len(element.clauses):
        offset = compiler.process(element.clauses, **kwargs)
        modifier = f", printf('%+.3f seconds', {offset})"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now'{modifier}) || '000')"


def engine_options(url: URL, pool_size: int, idle_timeout: int = IDLE_TIMEOUT) -> dict[str, Any]:
    """Return the options of `create_engine` for this database, for a pool of that many.

    `idle_timeout` is after how many seconds MySQL gives up on a silent client.
    """
    options: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",
        "skip_autocommit_rollback": True,
        # Orders are not for the log.
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT,
    }
    if url.get_backend_name() == "sqlite":
        return options | {"connect_args": {"timeout": SQLITE_BUSY_TIMEOUT}}
    return options | {
        "pool_recycle": 1800,
        "connect_args": {
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": STATEMENT_TIMEOUT,
            "write_timeout": STATEMENT_TIMEOUT,
            "charset": "utf8mb4",
            "init_command": "SET SESSION transaction_isolation = 'READ-COMMITTED',"
            f" time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_TIMEOUT},"
            f" wait_timeout = {idle_timeout}",
        },
    }


def prepare_engine(engine: Engine) -> None:
    """Attach what each new or reused connection of the engine needs."""
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_pragmas)
    else:
        event.listen(engine, "checkout", _refuse_closed)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    # A server that closes an idle connection leaves an end of file (or a farewell packet) to be
    # read; an open one has nothing. Looking costs one system call instead of a round trip.
    sock = connection._sock  # noqa: SLF001 - PyMySQL has no public name for it
    if sock is None or _is_readable(sock):
        raise exc.DisconnectionError


def _is_readable(sock: socket.socket) -> bool:
    # Not `select.select`, which takes no descriptor from 1024 on.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Database:
    """Connections and transactions on one engine, for callers that share its pool.

    `stall_limit` is from how many uses without an answer on the database counts as stalled; None
    for callers of which each has to go on by itself, and for SQLite, where writers wait for each
    other while readers are served. `threads` are those that wait for the database in place of the
    event loop; None for callers that never are on it.
    """

    def __init__(
        self,
        engine: Engine,
        stall_limit: int | None = None,
        threads: Executor | None = None,
    ) -> None:
        self.engine = engine
        self._guard = StallGuard(stall_limit) if stall_limit else None
        self._threads = threads
        self._begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "START TRANSACTION"

    @classmethod
    def open(cls, url: URL, pool_size: int, idle_timeout: int = IDLE_TIMEOUT) -> Database:
        """Make an engine of its own for the URL, as `engine_options` says."""
        engine = create_engine(url, **engine_options(url, pool_size, idle_timeout))
        prepare_engine(engine)
        return cls(engine)

    def watch(self) -> AbstractContextManager[None]:
        """Watch one use of the database, from its beginning to its answer.

        Raises:
            DatabaseStalled: the database has stopped answering.
        """
        return self._guard.watch() if self._guard else nullcontext()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection on which every statement commits by itself.

        Raises:
            DatabaseStalled: the database has stopped answering.
        """
        with self.watch(), self._checked_out() as found:
            yield found

    def _checked_out(self) -> Connection:
        try:
            return self.engine.connect()
        except exc.InvalidRequestError as error:
            # The pool's word for a server that closes each new connection at once.
            raise exc.DisconnectionError("no connection stayed open") from error

    def statement(self, work: Callable[[Connection], T], *, alone: bool = True) -> T:
        """Run `work`, which executes one statement, and return what it returned.

        It commits by itself: one round trip. Retries and exceptions are those of `transaction`.
        """
        return self._with_retries(work, alone)

    def transaction(self, work: Callable[[Connection], T], *, alone: bool = True) -> T:
        """Run `work` in one transaction and return what it returned.

        A deadlock or a lock wait time-out rolls back and runs `work` again from the start, so it
        must keep its effects to the connection. Work that is not `alone` is not run again after a
        lock wait time-out: others, who do not need that lock, wait with it. Any other exception
        rolls back and is raised.
        """
        return self._with_retries(lambda connection: self._in_transaction(connection, work), alone)

    def _with_retries(self, work: Callable[[Connection], T], alone: bool) -> T:
        if self._threads is None:
            return self._try_repeatedly(work, alone)
        return handover.call(self._threads, lambda: self._try_repeatedly(work, alone))

    def _try_repeatedly(self, work: Callable[[Connection], T], alone: bool) -> T:
        for tries in count():
            try:
                with self.connect() as connection:
                    return work(connection)
            except exc.DBAPIError as error:
                stopped_by = RETRYABLE.get(error_code(error))
                if stopped_by is None:
                    raise
                reason, retries = stopped_by
                if self._guard:
                    self._guard.note_answer()
                metrics.DATABASE_CONFLICTS.labels(reason=reason).inc()
                if tries == retries or (error_code(error) == LOCK_WAIT and not alone):
                    raise
                log.info("database %s: running the transaction again", reason)
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 - apart from the other side of it
        raise AssertionError("unreachable")

    def _in_transaction(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        try:
            connection.exec_driver_sql(self._begin)
            result = work(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        return result

    @staticmethod
    def _roll_back(connection: Connection) -> None:
        try:
            connection.exec_driver_sql("ROLLBACK")
        except exc.SQLAlchemyError:
            # Closing it ends the transaction on the server; the pool makes a new one.
            connection.invalidate()


def error_code(error: exc.DBAPIError) -> int:
    """Return MySQL's number of the error; 0 where there is none."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def is_conflict(error: Exception) -> bool:
    """Tell whether another transaction's lock was in the way."""
    return isinstance(error, exc.DBAPIError) and error_code(error) in RETRYABLE


def is_missing_table(error: Exception) -> bool:
    """Tell whether the error means that the database was never migrated."""
    if not isinstance(error, exc.DBAPIError):
        return False
    return error_code(error) == NO_SUCH_TABLE or "no such table" in str(error.orig)


def is_unavailable(error: Exception) -> bool:
    """Tell whether the error means that the database cannot serve now (against: a mistake)."""
    # A file that is no SQLite database is a DatabaseError itself, and none of its kinds.
    return (
        isinstance(error, UNAVAILABLE)
        or is_missing_table(error)
        or type(error) is exc.DatabaseError
    )


def describe(error: Exception) -> str:
    """Return the driver's one line on an error, without the statement around it."""
    return str(getattr(error, "orig", None) or error) or type(error).__name__
