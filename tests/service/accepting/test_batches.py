"""Orders and look-ups that share a statement: each gets the answer that it would get alone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import pymysql
import pytest
from flask import Flask
from sqlalchemy import Engine, event, exc

from service.accepting import batcher
from service.accepting.acceptor import Acceptor
from service.accepting.batcher import Batcher
from service.accepting.keyed import Acceptance, KeyReused
from service.runtime import runtime
from service.storage import engine as engines
from service.storage.failures import OutcomeUnknown, is_permanent
from service.storage.models import db
from service.storage.orders import NewOrder
from service.storage.places import Places
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE
from tests.support.inspection import Store, open_store
from tests.support.polling import wait_until
from tests.support.statements import statements

SECONDS = 20
FOR_EVER = 3600.0
NEW, TAKEN, REPLAYED = Acceptance(201), Acceptance(409), Acceptance(201, replayed=True)
FIRST = 10**9
LOST = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
Call = Callable[[Acceptor], Any]


class Callers:
    """Callers in threads of their own, whose entries come in the order of the calls."""

    def __init__(self, app: Flask, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch):
        self._database = runtime(app).database
        self._pool = pool
        self._monkeypatch = monkeypatch

    def call_together(self, first: Call, calls: list[Call]) -> list[Any]:
        """Return what each call returned or raised. The first finds nobody under way and goes
        alone, the others collect behind it."""
        acceptor = Acceptor(self._database, Places(40), writers=40)
        began, let_go = threading.Event(), threading.Event()
        work = Batcher._send

        def send(self: Batcher[Any, Any], *arguments: Any) -> None:
            if not began.is_set():
                began.set()
                assert let_go.wait(SECONDS)
            work(self, *arguments)

        with self._monkeypatch.context() as patched:
            # However long that takes here, the first batch does not count as hanging.
            patched.setattr(batcher, "OVERDUE_SECONDS", FOR_EVER)
            patched.setattr(batcher, "QUEUE_TIMEOUT", FOR_EVER)
            patched.setattr(Batcher, "_send", send)
            futures: list[Future[Any]] = [self._pool.submit(first, acceptor)]
            assert began.wait(SECONDS)
            for number, call in enumerate(calls, 1):
                futures.append(self._pool.submit(call, acceptor))
                wait_until(partial(waits, acceptor, number), SECONDS, "the entry")
            let_go.set()
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
        assert answers[0] in (NEW, TAKEN, REPLAYED)
        return answers[1:]


def waits(acceptor: Acceptor, entries: int) -> bool:
    batchers: tuple[Batcher[Any, Any], ...]
    batchers = (acceptor._plain, acceptor._keyed, acceptor._statuses)
    return sum(one.waiting for one in batchers) == entries


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
    one, *batch = [statement.verb for statement in sent]
    assert one == "INSERT", "the first order's"
    # SQLite's driver sends a statement for each row.
    several = ["BEGIN", "INSERT", "COMMIT"] if db.engine.dialect.name == "sqlite" else ["INSERT"]
    assert batch == several
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


def test_a_few_repeats_cost_the_others_little(callers: Callers, store: Store) -> None:
    before = [(order(n), f"key {n}") for n in range(1, 6)]
    assert callers.accept_together_with_keys(*before) == [NEW] * 5
    new = [(order(n), f"key {n}") for n in range(6, 26)]
    with statements(db.engine) as sent:
        answers = callers.accept_together_with_keys(*before, *new)
    assert answers == [REPLAYED] * 5 + [NEW] * 20
    # The first call's, which is a repeat; then one that failed, a look, and one with the rest.
    assert Counter(statement.verb for statement in sent)["COMMIT"] == 1
    assert len(sent) < 20
    assert set(store.statuses()) == {*range(1, 26), FIRST}


@contextmanager
def refused_orders_of_13(engine: Engine) -> Iterator[None]:
    """Have the database refuse one user's orders, as somebody's constraint might."""
    make, remove = {
        "sqlite": (
            "CREATE TRIGGER no_13 BEFORE INSERT ON orders WHEN NEW.user_id = 13"
            " BEGIN SELECT RAISE(ABORT, 'no orders of 13'); END",
            "DROP TRIGGER no_13",
        ),
        "mysql": (
            "ALTER TABLE orders ADD CONSTRAINT no_13 CHECK (user_id <> 13)",
            "ALTER TABLE orders DROP CONSTRAINT no_13",
        ),
    }[engine.dialect.name]
    with engine.connect() as connection:
        connection.exec_driver_sql(make)
    try:
        yield
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(remove)


def test_an_order_that_the_database_refuses_harms_no_other(callers: Callers, store: Store) -> None:
    """A constraint that is no key: nobody hears that the order exists, and nobody loops."""
    with refused_orders_of_13(db.engine):
        bad, *others = callers.accept_together(order(1, 13), order(2), order(3))
        keyed_bad, *keyed = callers.accept_together_with_keys(
            (order(4, 13), "a"), (order(5), "b"), (order(6), "c")
        )
    assert others + keyed == [NEW] * 4
    assert is_permanent(bad)
    assert is_permanent(keyed_bad)
    assert set(store.statuses()) == {2, 3, 5, 6, FIRST}


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


def test_a_connection_lost_before_the_answer(callers: Callers, store: Store) -> None:
    # On SQLite several orders take a transaction.
    on_sqlite = db.engine.dialect.name == "sqlite"
    lost = (
        {"statement": "COMMIT"}
        if on_sqlite
        else {"statement": "INSERT", "within": "'order_id': 1,"}
    )
    with answer_lost(db.engine, **lost):
        answers = callers.accept_together(order(1), order(2))
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 2
    assert {1, 2} <= set(store.statuses()), "it was lost after they were stored"
    assert callers.accept_together(order(1), order(2)) == [TAKEN] * 2


@ONLY_SQLITE
def test_a_connection_lost_at_the_commit_of_keys(callers: Callers, store: Store) -> None:
    entries = [(order(n), f"key {n}") for n in (1, 2)]
    acceptor = Acceptor(callers._database, Places(9), writers=9)
    with answer_lost(db.engine, "COMMIT"):
        for each in entries:
            with pytest.raises(OutcomeUnknown):
                acceptor.accept(*each)
    assert set(store.statuses()) == {1, 2}
    assert callers.accept_together_with_keys(*entries) == [REPLAYED] * 2


@pytest.fixture
def short_waits_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "LOCK_WAIT_TIMEOUT", 1)


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
