"""Orders and look-ups that share a statement: each gets the answer that it would get alone."""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from flask import Flask
from sqlalchemy import Engine, event, exc

from service.accepting import acceptor as ordering
from service.accepting import batcher as batching
from service.accepting.acceptor import Acceptance, KeyReused, Ordering
from service.runtime import runtime
from service.server.handover import Outcome
from service.storage import database
from service.storage.models import db
from service.storage.orders import NewOrder
from service.storage.stall import DatabaseStalled
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE
from tests.support.inspection import Store, open_store
from tests.support.statements import statements

SECONDS = 20
NEW, TAKEN, REPLAYED = Acceptance(201), Acceptance(409), Acceptance(201, replayed=True)
FIRST = 10**9
LOST = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
Call = Callable[[Ordering], Any]


class HeldThreads(Executor):
    """Threads that begin to work when they are let go."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._waiting: list[tuple[Any, ...]] | None = []

    def submit(self, *call: Any, **_options: Any) -> Future[Any]:
        if self._waiting is None:
            return self._pool.submit(*call)
        self._waiting.append(call)
        return Future()

    def let_go(self) -> None:
        calls, self._waiting = self._waiting, None
        for call in calls or ():
            self._pool.submit(*call)


class Callers:
    """Callers in threads of their own, whose entries come in the order of the calls."""

    def __init__(self, app: Flask, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch):
        self._database = runtime(app).database
        self._pool = pool
        self._monkeypatch = monkeypatch
        self._handed_in: queue.SimpleQueue[None] = queue.SimpleQueue()
        wait = Outcome.wait

        def note_and_wait(outcome: Outcome[Any]) -> Any:
            self._handed_in.put(None)
            return wait(outcome)

        monkeypatch.setattr(Outcome, "wait", note_and_wait)

    def ordering(self, places: int = 40) -> tuple[Ordering, HeldThreads]:
        """Return an `Ordering` that sends nothing before its threads are let go."""
        threads = HeldThreads(self._pool)
        return Ordering(self._database, threads, places), threads

    def call(self, made: Ordering, call: Call) -> Future[Any]:
        """Make the call, and return when its entry has been handed in."""
        future = self._pool.submit(call, made)
        self._handed_in.get(timeout=SECONDS)
        return future

    def call_together(self, first: Call, calls: list[Call]) -> list[Any]:
        """Return what each call returned or raised. The first finds nobody under way and goes
        alone, the others collect behind it."""
        made, threads = self.ordering()
        with self._monkeypatch.context() as patched:
            # However long that takes here, the first batch does not count as hanging.
            patched.setattr(batching, "OVERDUE_SECONDS", 3600)
            futures = [self.call(made, call) for call in (first, *calls)]
        threads.let_go()
        return [future.exception(SECONDS) or future.result() for future in futures]

    def accept_together(self, *orders: NewOrder) -> list[Any]:
        """Accept the orders in one batch; return the answers, or what was raised."""
        answers = self.call_together(accepting(order(FIRST)), [accepting(each) for each in orders])
        assert answers[0] in (NEW, TAKEN)
        return answers[1:]

    def accept_together_with_keys(self, *orders: tuple[NewOrder, str]) -> list[Any]:
        """Accept the orders with their keys in one batch."""
        first = accepting(order(FIRST), "first")
        answers = self.call_together(first, [accepting(*each) for each in orders])
        assert answers[0] in (NEW, REPLAYED)
        return answers[1:]


@pytest.fixture
def callers(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callers]:
    with ThreadPoolExecutor(40) as pool:
        yield Callers(app, pool, monkeypatch)


def order(order_id: int, user_id: int = 1) -> NewOrder:
    return NewOrder(order_id, user_id, [1, 2], Decimal("1.50"))


def accepting(each: NewOrder, key: str | None = None) -> Call:
    return lambda made: made.accept(each, key)


def looking_up(order_id: int) -> Call:
    return lambda made: made.status(order_id)


@contextmanager
def answer_lost(engine: Engine, statement: str, *, within: str = "") -> Iterator[None]:
    """Lose the connection between the statement's execution and its answer."""

    def lose(_connection: Any, _cursor: Any, sent: str, parameters: Any, *_: Any) -> None:
        if sent.startswith(statement) and within in str(parameters):
            raise exc.OperationalError(sent, None, LOST)

    event.listen(engine, "after_cursor_execute", lose)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", lose)


def test_they_share_one_statement(callers: Callers, store: Store) -> None:
    with statements(db.engine) as sent:
        assert callers.accept_together(order(3), order(1), order(2)) == [NEW] * 3
    verbs = [statement.verb for statement in sent]
    assert verbs == ["INSERT"] * 2, "one for the first order, one for the batch"
    assert set(store.statuses()) == {1, 2, 3, FIRST}
    assert store.order(3).total_amount == Decimal("1.50")
    assert store.order(3).item_ids == [1, 2]


def test_duplicates_within_and_across_batches(callers: Callers, store: Store) -> None:
    store.add_orders([5, 6])
    answers = callers.accept_together(
        order(1, 7), order(5), order(1, 8), order(2), order(5), order(1, 9), order(6)
    )
    assert answers == [NEW, TAKEN, TAKEN, NEW, TAKEN, TAKEN, TAKEN]
    assert store.order(1).user_id == 7
    assert set(store.statuses()) == {1, 2, 5, 6, FIRST}
    assert callers.accept_together(order(1), order(2), order(1)) == [TAKEN] * 3, "nothing else"


def test_keys_share_one_transaction(callers: Callers, store: Store) -> None:
    with statements(db.engine) as sent:
        answers = callers.accept_together_with_keys(*((order(n), f"key {n}") for n in (3, 1, 2)))
    assert answers == [NEW] * 3
    verbs = Counter(statement.verb for statement in sent)
    assert (verbs["INSERT"], verbs["COMMIT"]) == (4, 2)
    assert set(store.statuses()) == {1, 2, 3, FIRST}


def test_keys_that_repeat_in_a_batch(callers: Callers, store: Store) -> None:
    store.add_orders([5])
    one, same, other, taken, again, free = callers.accept_together_with_keys(
        (order(1), "a"),
        (order(1), "a"),
        (order(2), "a"),
        (order(5), "b"),
        (order(5), "b"),
        (order(3), "c"),
    )
    assert (one, same, free) == (NEW, REPLAYED, NEW)
    assert isinstance(other, KeyReused)
    assert (taken, again) == (TAKEN, Acceptance(409, replayed=True))
    assert set(store.statuses()) == {1, 3, 5, FIRST}


@ONLY_SQLITE
def test_a_connection_lost_before_the_answer(callers: Callers, store: Store) -> None:
    with answer_lost(db.engine, "INSERT", within="(1, "):
        answers = callers.accept_together(order(1), order(2))
    assert [type(answer) for answer in answers] == [exc.OperationalError] * 2
    assert {1, 2} <= set(store.statuses()), "it was lost after they were stored"
    assert callers.accept_together(order(1), order(2)) == [TAKEN] * 2


@ONLY_SQLITE
def test_a_connection_lost_at_the_commit_of_keys(callers: Callers, store: Store) -> None:
    entries = [(order(n), f"key {n}") for n in (1, 2)]
    made, threads = callers.ordering()
    threads.let_go()
    with answer_lost(db.engine, "COMMIT"):
        failed = [callers.call(made, accepting(*entry)) for entry in entries]
        assert [type(each.exception(SECONDS)) for each in failed] == [exc.OperationalError] * 2
    assert set(store.statuses()) == {1, 2}
    assert callers.accept_together_with_keys(*entries) == [REPLAYED] * 2


@pytest.fixture
def short_waits_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_TIMEOUT", 1)


@ONLY_MYSQL
@pytest.mark.usefixtures("short_waits_for_locks")
def test_an_order_that_waits_for_a_lock_takes_nobody_along(
    callers: Callers, store: Store, url: str
) -> None:
    # Who waits for a row keeps others from the gap before it, MySQL's doing: 15 parts the gaps.
    store.add_orders([15])
    with open_store(url) as other, other.database.connect() as holder:
        holder.exec_driver_sql("START TRANSACTION")
        holder.exec_driver_sql(
            "INSERT INTO orders (order_id, user_id, item_ids, total_amount, attempts, fence,"
            " available_at, created_at, updated_at) VALUES (20, 1, '[1]', 1, 0, 0, now(), now(),"
            " now())"
        )
        # So many that they would count as a database that has stopped answering.
        free = [10, *range(30, 50)]
        locked, *others = callers.accept_together(*(order(n) for n in (20, *free)))
        holder.exec_driver_sql("ROLLBACK")
    assert others == [NEW] * len(free)
    assert isinstance(locked, exc.OperationalError)
    assert set(store.statuses()) == {15, *free, FIRST}


@ONLY_SQLITE
def test_look_ups_share_one_statement(callers: Callers, store: Store) -> None:
    store.add_orders([1, 2])
    with statements(db.engine) as sent:
        statuses = callers.call_together(looking_up(1), [looking_up(n) for n in (2, 3, 2)])
    assert statuses == ["Pending", "Pending", None, "Pending"]
    assert [statement.verb for statement in sent] == ["SELECT"] * 2


@ONLY_SQLITE
def test_no_more_wait_in_threads_than_have_a_place(
    callers: Callers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_orders([1])
    monkeypatch.setattr(ordering, "POOL_TIMEOUT", 0.05)
    made, threads = callers.ordering(places=1)
    first = callers.call(made, looking_up(1))
    with pytest.raises(DatabaseStalled):
        made.status(1)
    threads.let_go()
    assert first.result(SECONDS) == "Pending"
    assert made.status(1) == "Pending"
