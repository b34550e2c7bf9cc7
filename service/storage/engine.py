"""Engines: how this service connects to MySQL and to SQLite, and when a pool is emptied.

Every connection is in autocommit mode, so one statement costs one round trip; several statements
that belong together run in `Database.transaction`, which says BEGIN and COMMIT itself.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, exc
from sqlalchemy.engine import URL, ExceptionContext

from service.database_url import SERVERS
from service.storage.failures import takes_no_writes
from service.storage.servers import Servers

# In seconds. A request is promised an answer within ten, and may have waited for its turn before.
CONNECT_TIMEOUT = 2
STATEMENT_TIMEOUT = 5
LOCK_WAIT_TIMEOUT = 2
# After this long, in seconds, MySQL rolls back for a client that is silent. A process that hangs,
# or whose host is gone, must not keep its locks for the eight hours of MySQL's default.
IDLE_TIMEOUT = 15
# How long, in seconds, a thread waits for a free connection of the pool.
POOL_TIMEOUT = 2
# SQLite has one writer at a time; the others wait for it this long, in seconds.
SQLITE_BUSY_TIMEOUT = 5
# A connection that was used this short a time ago, in seconds, is taken for open.
FRESH_SECONDS = 2.0
_USED = "order_service.used"


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
        "pool_use_lifo": True,
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
    event.listen(engine, "handle_error", _empty_pool_of_former_primary)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_pragmas)
    elif SERVERS in engine.url.query:
        _find_server(engine, Servers())
    else:
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _refuse_closed)


def _find_server(engine: Engine, servers: Servers) -> None:
    def leave(context: ExceptionContext) -> None:
        connection = context.connection
        if context.is_disconnect and connection is not None and not connection.invalidated:
            servers.leave(connection.info)

    event.listen(engine, "do_connect", servers.connect)
    event.listen(engine, "checkout", servers.check)
    event.listen(engine, "handle_error", leave)


def _empty_pool_of_former_primary(context: ExceptionContext) -> None:
    # All connections of the pool lead to the same server. The next one may find its successor.
    if context.sqlalchemy_exception and takes_no_writes(context.sqlalchemy_exception):
        context.is_disconnect = True


def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    cursor = connection.cursor()
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    # The one statement that does not wait for another connection, which changes the file as well.
    deadline = time.monotonic() + SQLITE_BUSY_TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _refuse_closed(connection: Any, record: Any, _proxy: Any) -> None:
    # Asking costs a round trip, so a new connection, and one that is in use, is not asked.
    used = record.info.get(_USED)
    if used is None or time.monotonic() - used < FRESH_SECONDS:
        return
    asked = time.monotonic()
    try:
        connection.ping(reconnect=False)
    except connection.Error as error:
        if time.monotonic() - asked > CONNECT_TIMEOUT:
            # The server hangs, and so would a new connection.
            raise exc.TimeoutError("the database does not answer") from error
        raise exc.DisconnectionError from error
