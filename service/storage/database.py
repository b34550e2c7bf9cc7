"""Statements and transactions on one engine, the same on MySQL and on SQLite."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, QueuePool, event, exc

from service.storage.failures import (
    DEADLOCK,
    LOCK_WAIT,
    NotConnected,
    Overloaded,
    describe,
    error_code,
)
from service.telemetry import metrics

T = TypeVar("T")
log = logging.getLogger(__name__)

# How often a transaction is run again, by what stopped it. A deadlock ends at once, a wait for a
# lock only after the lock wait time-out, and the client waits meanwhile.
RETRYABLE = {DEADLOCK: ("deadlock", 5), LOCK_WAIT: ("lock_wait_timeout", 1)}
# Seconds from a use's beginning after which nothing more of it is begun.
LATEST_RETRY = 2.5
# The same for a single statement of a request: it may take five more, and ten are promised.
LATEST_STATEMENT = 4.5
ENDS = frozenset({"COMMIT", "ROLLBACK"})


class Database:
    """Connections and transactions on one engine, for callers that share its pool."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.on_sqlite = engine.dialect.name == "sqlite"
        # Named READ WRITE, since a server that takes no writes refuses that at once.
        self._begin = "BEGIN IMMEDIATE" if self.on_sqlite else "START TRANSACTION READ WRITE"

    def connections_in_use(self) -> int:
        """Return how many connections of the pool are in use."""
        pool = self.engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    def most_connections(self) -> int:
        """Return how many connections the pool has at most."""
        pool = self.engine.pool
        return pool.size() if isinstance(pool, QueuePool) else 0

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection on which every statement commits by itself.

        Raises:
            NotConnected: there is none.
        """
        try:
            found = self.engine.connect()
        except exc.SQLAlchemyError as error:
            raise NotConnected(describe(error)) from error
        with found:
            yield found

    def statement(self, work: Callable[[Connection], T], *, alone: bool = True) -> T:
        """Run `work`, which executes one statement, and return what it returned.

        It commits by itself: one round trip. Retries and exceptions are those of `transaction`.
        """
        started = time.monotonic()
        for tries in count():
            try:
                with self.connect() as connection:
                    refuse_after(started, LATEST_STATEMENT)
                    return work(connection)
            except exc.DBAPIError as error:
                reason, retries = RETRYABLE.get(error_code(error), ("", 0))
                if reason:
                    metrics.DATABASE_CONFLICTS[reason].inc()
                if tries >= retries or (error_code(error) == LOCK_WAIT and not alone):
                    raise
                refuse_after(started)
                log.info("database %s: running the transaction again", reason)
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 - apart from the other side of it
        raise AssertionError("unreachable")

    def transaction(self, work: Callable[[Connection], T], *, alone: bool = True) -> T:
        """Run `work` in one transaction and return what it returned.

        A deadlock or a lock wait time-out rolls back and runs `work` again from the start, so it
        must keep its effects to the connection. Work that is not `alone` is not run again after a
        lock wait time-out: others, who do not need that lock, wait with it. Any other exception
        rolls back and is raised.

        Raises:
            Overloaded: it would have to be run again later than `LATEST_RETRY` after its start.
        """
        return self.statement(
            lambda connection: self._in_transaction(connection, work), alone=alone
        )

    def probe(self, read: Callable[[Connection], T]) -> T:
        """Return what `read` returns, in a transaction that a server without writes refuses.

        A connection that has led to a former primary says nothing of its successor: another is
        asked then.
        """
        started = time.monotonic()
        for last in (False, True):
            try:
                with self.connect() as connection:
                    return self._in_transaction(connection, read)
            except exc.DBAPIError as error:
                if last or not error.connection_invalidated:
                    raise
                refuse_after(started)
        raise AssertionError("unreachable")

    def _in_transaction(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        try:
            connection.exec_driver_sql(self._begin)
            result = work(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        return result


def in_time(work: Callable[[Connection], T], started: float) -> Callable[[Connection], T]:
    """Return `work` that begins no statement later than `LATEST_STATEMENT` after `started`, by
    `time.monotonic`: each is bounded by itself, and many are not.

    Raises:
        Overloaded: it would have to.
    """

    def check(_connection: Connection, _cursor: Any, statement: str, *_others: Any) -> None:
        if statement not in ENDS:
            refuse_after(started, LATEST_STATEMENT)

    def watched(connection: Connection) -> T:
        event.listen(connection, "before_cursor_execute", check)
        return work(connection)

    return watched


def refuse_after(started: float, seconds: float = LATEST_RETRY) -> None:
    """Refuse to begin another statement for a use of the database that has taken long already.

    `started` is its beginning, by `time.monotonic`.

    Raises:
        Overloaded: that is longer ago than so many seconds.
    """
    if time.monotonic() - started > seconds:
        raise Overloaded("no time is left for another statement")


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except exc.SQLAlchemyError:
        # Closing it ends the transaction on the server; the pool makes a new one.
        connection.invalidate()
