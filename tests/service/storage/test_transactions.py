"""Deadlocks and lock waits: a transaction that they stop is run again, and counted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection, exc, select, text, update

from service.storage.database import Database
from service.storage.models import OrderTotals
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE, open_database

DEADLOCK = pymysql.err.OperationalError(1213, "Deadlock found when trying to get lock")
LOCK_WAIT = pymysql.err.OperationalError(1205, "Lock wait timeout exceeded")
LOCKED = sqlite3.OperationalError("database is locked")
DEADLOCK_RETRIES = 5


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url, 3)
    yield opened
    opened.engine.dispose()


def retries(reason: str) -> float:
    name = "order_service_database_conflicts_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


def add_failed(connection: Connection, slot: int) -> None:
    connection.execute(
        update(OrderTotals).where(OrderTotals.slot == slot).values(failed=OrderTotals.failed + 1)
    )


def failed(connection: Connection) -> dict[int, int]:
    rows = connection.execute(select(OrderTotals.slot, OrderTotals.failed))
    return {slot: number for slot, number in rows.all() if number}


def raising(error: Exception, times: int) -> Callable[[Connection], str]:
    """Make work that adds to slot 1, then meets the error as often, and then succeeds."""
    calls = iter(range(times))

    def work(connection: Connection) -> str:
        add_failed(connection, 1)
        if next(calls, None) is not None:
            raise exc.OperationalError("UPDATE", {}, error)
        return "done"

    return work


@ONLY_MYSQL
def test_a_real_deadlock(database: Database) -> None:
    before = retries("deadlock")
    both_hold_one = threading.Barrier(2)

    def add_in_order(first: int, second: int) -> int:
        runs = 0

        def work(connection: Connection) -> int:
            nonlocal runs
            runs += 1
            add_failed(connection, first)
            if runs == 1:
                both_hold_one.wait(60)
            add_failed(connection, second)
            return runs

        return database.transaction(work)

    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(add_in_order, (1, 2), (2, 1)))
    assert sorted(runs) == [1, 2]
    assert retries("deadlock") == before + 1
    assert database.statement(failed) == {1: 2, 2: 2}


@ONLY_MYSQL
def test_a_real_lock_wait(database: Database) -> None:
    before = retries("lock_wait_timeout")
    with database.connect() as holder:
        holder.exec_driver_sql("START TRANSACTION")
        add_failed(holder, 2)
        runs = 0

        def work(connection: Connection) -> int:
            nonlocal runs
            runs += 1
            if runs == 2:
                holder.exec_driver_sql("COMMIT")
            connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
            add_failed(connection, 1)
            add_failed(connection, 2)
            return runs

        assert database.transaction(work) == 2
    assert retries("lock_wait_timeout") == before + 1
    # The first run was rolled back as a whole.
    assert database.statement(failed) == {1: 1, 2: 2}


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("error", "reason", "times"),
    [
        pytest.param(DEADLOCK, "deadlock", 1, id="deadlock"),
        pytest.param(DEADLOCK, "deadlock", DEADLOCK_RETRIES, id="deadlocks"),
        pytest.param(LOCK_WAIT, "lock_wait_timeout", 1, id="lock wait"),
    ],
)
def test_it_is_run_again(database: Database, error: Exception, reason: str, times: int) -> None:
    before = retries(reason)
    assert database.transaction(raising(error, times)) == "done"
    assert retries(reason) == before + times
    assert database.statement(failed) == {1: 1}


@ONLY_SQLITE
def test_it_gives_up_in_the_end(database: Database) -> None:
    before = retries("deadlock")
    with pytest.raises(exc.OperationalError, match="Deadlock"):
        database.transaction(raising(DEADLOCK, DEADLOCK_RETRIES + 1))
    assert retries("deadlock") == before + DEADLOCK_RETRIES + 1
    assert database.statement(failed) == {}


@ONLY_SQLITE
@pytest.mark.parametrize(
    "error",
    [
        # Whether it was committed is not known.
        pytest.param(pymysql.err.OperationalError(2013, "Lost connection"), id="lost"),
        # Whoever met it has waited for the lock already.
        pytest.param(LOCKED, id="locked"),
    ],
)
def test_what_is_not_run_again(database: Database, error: Exception) -> None:
    with pytest.raises(exc.OperationalError, match=str(error.args[-1])):
        database.transaction(raising(error, 1))
    assert database.statement(failed) == {}


def test_any_other_error_rolls_back(database: Database) -> None:
    def work(connection: Connection) -> None:
        add_failed(connection, 1)
        raise KeyError("mistake")

    with pytest.raises(KeyError):
        database.transaction(work)
    assert database.statement(failed) == {}
    # The connection went back to the pool in good order.
    database.transaction(lambda connection: add_failed(connection, 2))
    assert database.statement(failed) == {2: 1}
