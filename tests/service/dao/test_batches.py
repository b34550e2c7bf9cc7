"""Orders and look-ups that share a statement: each gets the answer that it would get alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymysql
import pytest
from flask import Flask
from sqlalchemy import Engine, event, exc

from service.dao.orders import NewOrder
from service.models import db
from service.ordering import Acceptance, KeyReused, Ordering
from service.runtime import runtime
from service.stall import DatabaseStalled
from tests.support.inspection import Store
from tests.support.load import Load
from tests.support.polling import wait_until
from tests.support.service_process import Server

SECONDS = 20
PLACES = 40
NEW, TAKEN, REPLAYED = Acceptance(201), Acceptance(409), Acceptance(201, replayed=True)
LOST = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")


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


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as made:
        yield made


def order(order_id: int, user_id: int = 1) -> NewOrder:
    return NewOrder(order_id, user_id, [1, 2], Decimal("1.50"))


def accept_together(
    app: Flask, pool: ThreadPoolExecutor, entries: Sequence[tuple[NewOrder, str | None]]
) -> list[Acceptance | Exception]:
    """Accept all the orders in one batch; return the answers, or what was raised."""
    threads = HeldThreads(pool)
    ordering = Ordering(runtime(app).database, threads, PLACES)
    keyed = entries[0][1] is not None
    batcher = ordering._keyed if keyed else ordering._plain
    # The first finds nobody under way, and goes alone.
    first = pool.submit(ordering.accept, order(10**9), "first" if keyed else None)
    wait_until(lambda: batcher._sent, SECONDS, "the first batch")
    futures = []
    for number, entry in enumerate(entries, 1):
        futures.append(pool.submit(ordering.accept, *entry))
        wait_until(lambda n=number: len(batcher._waiting) == n, SECONDS, "the entry")
    threads.let_go()
    assert first.result(SECONDS).status in (201, 409)
    return [future.exception(SECONDS) or future.result() for future in futures]  # type: ignore[misc]


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2].split()[0])

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


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


def test_they_share_one_statement(app: Flask, pool: ThreadPoolExecutor, store: Store) -> None:
    with statements(db.engine) as sent:
        answers = accept_together(app, pool, [(order(n), None) for n in (3, 1, 2)])
    assert answers == [NEW] * 3
    assert sent == ["INSERT"] * 2, "one for the first order, one for the batch"
    assert set(store.statuses()) == {1, 2, 3, 10**9}
    assert store.order(3).total_amount == Decimal("1.50")
    assert store.order(3).item_ids == [1, 2]


def test_duplicates_within_and_across_batches(
    app: Flask, pool: ThreadPoolExecutor, store: Store
) -> None:
    store.add_orders([5, 6])
    entries = [order(1, 7), order(5), order(1, 8), order(2), order(5), order(1, 9), order(6)]
    answers = accept_together(app, pool, [(each, None) for each in entries])
    assert answers == [NEW, TAKEN, TAKEN, NEW, TAKEN, TAKEN, TAKEN]
    assert store.order(1).user_id == 7
    assert set(store.statuses()) == {1, 2, 5, 6, 10**9}


def test_a_batch_of_duplicates_only(app: Flask, pool: ThreadPoolExecutor, store: Store) -> None:
    store.add_orders([1, 2])
    assert accept_together(app, pool, [(order(n), None) for n in (1, 2, 1)]) == [TAKEN] * 3


def test_keys_share_one_transaction(app: Flask, pool: ThreadPoolExecutor, store: Store) -> None:
    with statements(db.engine) as sent:
        answers = accept_together(app, pool, [(order(n), f"key {n}") for n in (3, 1, 2)])
    assert answers == [NEW] * 3
    assert Counter(sent)["INSERT"] == 4
    assert Counter(sent)["COMMIT"] == 2
    assert set(store.statuses()) == {1, 2, 3, 10**9}


def test_keys_that_repeat_in_a_batch(app: Flask, pool: ThreadPoolExecutor, store: Store) -> None:
    store.add_orders([5])
    one, same, other, taken, again, free = accept_together(
        app,
        pool,
        [
            (order(1), "a"),
            (order(1), "a"),
            (order(2), "a"),
            (order(5), "b"),
            (order(5), "b"),
            (order(3), "c"),
        ],
    )
    assert (one, same, free) == (NEW, REPLAYED, NEW)
    assert isinstance(other, KeyReused)
    assert (taken, again) == (TAKEN, Acceptance(409, replayed=True))
    assert set(store.statuses()) == {1, 3, 5, 10**9}


def test_a_connection_lost_before_the_answer(
    app: Flask, pool: ThreadPoolExecutor, store: Store
) -> None:
    entries = [(order(n), None) for n in (1, 2)]
    with answer_lost(db.engine, "INSERT", within="(1, "):
        answers = accept_together(app, pool, entries)
    assert [type(answer) for answer in answers] == [exc.OperationalError] * 2
    assert {1, 2} <= set(store.statuses()), "it was lost after they were stored"
    assert accept_together(app, pool, entries) == [TAKEN] * 2


def test_a_connection_lost_at_the_commit_of_keys(
    app: Flask, pool: ThreadPoolExecutor, store: Store
) -> None:
    entries = [(order(n), f"key {n}") for n in (1, 2)]
    ordering = runtime(app).ordering
    with answer_lost(db.engine, "COMMIT"):
        failed = [pool.submit(ordering.accept, *entry) for entry in entries]
        assert [type(each.exception(SECONDS)) for each in failed] == [exc.OperationalError] * 2
    assert set(store.statuses()) == {1, 2}
    assert accept_together(app, pool, entries) == [REPLAYED] * 2


@pytest.mark.mysql
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_an_order_that_waits_for_a_lock_takes_nobody_along(
    app: Flask, pool: ThreadPoolExecutor, store: Store
) -> None:
    # Who waits for a row keeps others from the gap before it, MySQL's doing: 15 parts the gaps.
    store.add_orders([15])
    other = Store(str(store.database.engine.url.render_as_string(hide_password=False)))
    with other.database.connect() as holder:
        holder.exec_driver_sql("START TRANSACTION")
        holder.exec_driver_sql(
            "INSERT INTO orders (order_id, user_id, item_ids, total_amount, attempts, fence,"
            " available_at, created_at, updated_at) VALUES (20, 1, '[1]', 1, 0, 0, now(), now(),"
            " now())"
        )
        # So many that they would count as a database that has stopped answering.
        free = [10, *range(30, 50)]
        locked, *others = accept_together(app, pool, [(order(n), None) for n in (20, *free)])
        holder.exec_driver_sql("ROLLBACK")
    assert others == [NEW] * len(free)
    assert isinstance(locked, exc.OperationalError)
    assert set(store.statuses()) == {15, *free, 10**9}
    other.database.engine.dispose()


def test_look_ups_share_one_statement(app: Flask, pool: ThreadPoolExecutor, store: Store) -> None:
    store.add_orders([1, 2])
    threads = HeldThreads(pool)
    ordering = Ordering(runtime(app).database, threads, PLACES)
    first = pool.submit(ordering.status, 1)
    wait_until(lambda: ordering._statuses._sent, SECONDS, "the first batch")
    others = [pool.submit(ordering.status, number) for number in (2, 3, 2)]
    wait_until(lambda: len(ordering._statuses._waiting) == 3, SECONDS, "the others")
    with statements(db.engine) as sent:
        threads.let_go()
        assert first.result(SECONDS) == "Pending"
        assert [each.result(SECONDS) for each in others] == ["Pending", None, "Pending"]
    assert sent == ["SELECT"] * 2


def test_no_more_wait_in_threads_than_have_a_place(
    app: Flask, pool: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_orders([1])
    threads = HeldThreads(pool)
    monkeypatch.setattr("service.ordering.POOL_TIMEOUT", 0.05)
    ordering = Ordering(runtime(app).database, threads, places=1)
    first = pool.submit(ordering.status, 1)
    wait_until(lambda: ordering._statuses._sent, SECONDS, "the first batch")
    with pytest.raises(DatabaseStalled):
        ordering.status(1)
    threads.let_go()
    assert first.result(SECONDS) == "Pending"
    assert ordering.status(1) == "Pending"


@pytest.mark.slow
def test_a_stop_during_batches_answers_or_stores_nothing(
    tmp_path: Path, url: str, store: Store
) -> None:
    with Server(tmp_path, url, WEB_CONCURRENCY=2, PROCESSOR_THREADS=0) as server:
        server.start()
        with Load(server.client, threads=24) as load:
            load.wait_for_more(300)
            assert server.stop() == 0
            stored = set(store.statuses())
            # They go on to post: to the same service, started anew.
            server.start()
            load.wait_for_more(50)
            load.stop()
        assert load.accepted <= set(store.statuses())
        assert len(stored) >= 300
        assert not load.problems
        assert load.statuses[500] == 0
        assert "Traceback" not in server.log
