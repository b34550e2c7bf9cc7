"""The SQL of the processing: claims, leases, fences and totals, on both databases."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from sqlalchemy import Connection, make_url, select, text, update

from service.dao.claims import (
    LOCK_CLAIMABLE,
    Claim,
    ClaimedBatch,
    ClaimKey,
    Result,
    Verdict,
    claim_orders,
    record_results,
    renew_leases,
)
from service.dao.completions import COMPLETE, NotAllHeld, complete_all, complete_one
from service.dao.orders import retry_failed
from service.database import Database, utcnow
from service.models import Order
from service.processing.order_queue import OrderQueue
from tests.support.databases import settings_for
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.service_process import REPOSITORY


def claim(
    store: Store,
    limit: int = 10,
    *,
    lease_seconds: float = 60,
    max_attempts: int = 5,
    idle: bool = True,
    owner: str = "a",
) -> ClaimedBatch:
    return store.run(
        lambda connection: claim_orders(
            connection,
            owner=owner,
            limit=limit,
            lease_seconds=lease_seconds,
            max_attempts=max_attempts,
            idle=idle,
        )
    )


def record(store: Store, *results: Result) -> set[ClaimKey]:
    return store.run(lambda connection: record_results(connection, results, slot=0))


def end_leases(store: Store) -> None:
    store.run(lambda connection: connection.execute(update(Order).values(available_at=utcnow())))


def ids(claims: list[Claim]) -> list[int]:
    return [claim.order_id for claim in claims]


def test_claims_in_order_of_arrival_and_never_twice(store: Store) -> None:
    store.add_orders([30, 10, 20])
    assert ids(claim(store, 2).claims) == [30, 10]
    assert ids(claim(store, 2).claims) == [20]
    assert ids(claim(store, 2).claims) == []
    assert store.statuses() == {30: "Processing", 10: "Processing", 20: "Processing"}


def test_a_claim_of_none_ends_at_once(store: Store) -> None:
    store.add_orders([1])
    assert claim(store, 0) == ClaimedBatch([], [])


def test_a_lease_that_ended_is_claimed_before_what_came_later(store: Store) -> None:
    store.add_orders([1, 2])
    first = claim(store, 1, lease_seconds=0).claims[0]
    again = claim(store, 2, owner="b").claims
    assert ids(again) == [1, 2]
    assert (again[0].fence, again[0].attempt) == (first.fence + 1, 2)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_who_lost_the_lease_changes_nothing(store: Store, verdict: Verdict) -> None:
    store.add_orders([1])
    lost = claim(store, lease_seconds=0).claims[0]
    held = claim(store, owner="b").claims[0]
    assert record(store, Result(lost, verdict, error="late")) == set()
    assert store.run(lambda connection: renew_leases(connection, [lost], 60)) == set()
    assert store.statuses() == {1: "Processing"}
    assert record(store, Result(held, Verdict.COMPLETE, microseconds=7)) == {held.key}
    assert record(store, Result(held, Verdict.COMPLETE, microseconds=7)) == set()
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (1, 7)


def test_two_claims_of_one_process_on_an_order_count_once(store: Store) -> None:
    store.add_orders([1])
    lost = claim(store, lease_seconds=0).claims[0]
    held = claim(store).claims[0]
    results = [Result(each, Verdict.COMPLETE, microseconds=5) for each in (lost, held)]
    assert store.run(lambda connection: renew_leases(connection, [lost, held], 60)) == {held.key}
    assert record(store, *results) == {held.key}
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (1, 5)


def test_records_a_mixed_batch_with_its_totals(store: Store) -> None:
    store.add_orders([1, 2, 3, 4, 5, 6])
    one, two, three, four, five, six = claim(store).claims
    recorded = record(
        store,
        Result(six, Verdict.COMPLETE, microseconds=30),
        Result(one, Verdict.COMPLETE, microseconds=10),
        Result(two, Verdict.FAIL, error="broken"),
        Result(three, Verdict.RETRY, error="later", delay=60),
        Result(four, Verdict.GIVE_BACK),
        Result(five, Verdict.GIVE_BACK),
    )
    assert recorded == {done.key for done in (one, two, three, four, five, six)}
    assert store.statuses() == {
        1: "Completed",
        2: "Failed",
        3: "Pending",
        4: "Pending",
        5: "Pending",
        6: "Completed",
    }
    assert [store.order(number).processing_microseconds for number in (1, 2, 6)] == [10, None, 30]
    assert [store.order(number).last_error for number in (1, 2, 3)] == [None, "broken", "later"]
    assert [store.order(number).attempts for number in (3, 4, 5)] == [1, 0, 0]
    assert ids(claim(store).claims) == [4, 5], "given back at once, but not the retry"
    figures = store.statistics()
    assert (figures.completed, figures.failed, figures.processing_microseconds) == (2, 1, 40)
    assert (figures.pending, figures.processing) == (1, 2)


def test_renewing_keeps_the_order(store: Store) -> None:
    store.add_orders([1])
    held = claim(store, lease_seconds=0).claims[0]
    assert store.run(lambda connection: renew_leases(connection, [held], 60)) == {held.key}
    assert claim(store, owner="b").claims == []


def test_an_order_without_an_attempt_left_fails(store: Store) -> None:
    store.add_orders([1, 2])
    for _ in range(2):
        claim(store, 1, lease_seconds=0, max_attempts=2)
    batch = claim(store, max_attempts=2)
    assert batch.exhausted == [1]
    assert ids(batch.claims) == [2]
    assert store.statuses()[1] == "Failed"
    assert "worker died" in str(store.order(1).last_error)
    assert store.statistics().failed == 1


def test_an_order_whose_workers_died_twice_runs_alone(store: Store) -> None:
    store.add_orders([1, 2, 3])
    for _ in range(2):
        claim(store, 1, lease_seconds=0)
    busy = claim(store, idle=False)
    assert (ids(busy.claims), busy.isolate) == ([], True)
    alone = claim(store, idle=True)
    assert (ids(alone.claims), alone.isolate) == ([1], True)
    rest = claim(store, idle=False)
    assert (ids(rest.claims), rest.isolate) == ([2, 3], False)


def test_a_failed_order_is_put_back_with_all_attempts(store: Store) -> None:
    store.add_orders([1])
    record(store, Result(claim(store).claims[0], Verdict.FAIL, error="broken"))
    assert store.run(lambda connection: retry_failed(connection, 1))
    assert not store.run(lambda connection: retry_failed(connection, 1))
    assert store.statistics().failed == 0
    assert claim(store).claims[0].attempt == 1


def test_a_missing_total_is_named(store: Store) -> None:
    store.add_orders([1])
    held = claim(store).claims[0]
    with pytest.raises(LookupError, match="row 99 of order_totals"):
        store.run(
            lambda connection: record_results(connection, [Result(held, Verdict.COMPLETE)], slot=99)
        )
    assert store.statuses() == {1: "Processing"}, "the whole transaction was rolled back"


def test_the_claim_uses_its_index_and_sorts_nothing(store: Store) -> None:
    store.add_orders(range(1, 501))
    store.run(
        lambda c: c.execute(update(Order).where(Order.order_id <= 450).values(outcome="Completed"))
    )
    query = LOCK_CLAIMABLE.params(limit=8, candidates=32)
    dialect = store.database.engine.dialect
    sql = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    if dialect.name == "mysql":
        store.run(lambda c: c.execute(text("ANALYZE TABLE orders")))
        plan = explain(store, f"EXPLAIN FORMAT=TREE {sql}")
        assert "ix_orders_outcome" in plan
        assert "Single-row index lookup on orders using PRIMARY" in plan
        assert "Sort" not in plan
        assert "Table scan on orders" not in plan
    else:
        plan = explain(store, f"EXPLAIN QUERY PLAN {sql}")
        assert "USING INDEX ix_orders_outcome (outcome=?)" in plan
        assert "TEMP B-TREE" not in plan


def test_completing_all_finds_each_order_by_its_key(store: Store) -> None:
    store.add_orders(range(1, 501))
    dialect = store.database.engine.dialect.name
    how = "EXPLAIN FORMAT=TREE" if dialect == "mysql" else "EXPLAIN QUERY PLAN"
    plan = explain(store, f"{how} {COMPLETE[dialect].text}", ended="[[1, 0, 0], [2, 0, 0]]")
    by_key = "index lookup on orders using PRIMARY" if dialect == "mysql" else "PRIMARY KEY (rowid="
    assert by_key in plan
    assert "ix_orders_outcome" not in plan


def explain(store: Store, sql: str, **parameters: object) -> str:
    rows = store.run(lambda connection: connection.execute(text(sql), parameters).all())
    return "\n".join(str(column) for row in rows for column in row)


def test_completing_all_in_one_statement(store: Store) -> None:
    store.add_orders([1, 2, 3])
    claims = claim(store).claims
    results = [
        Result(held, Verdict.COMPLETE, microseconds=number * 10)
        for number, held in enumerate(claims, 1)
    ]
    store.run(lambda connection: complete_all(connection, results[::-1], slot=2))
    assert [store.order(number).processing_microseconds for number in (1, 2, 3)] == [10, 20, 30]
    assert store.statuses() == dict.fromkeys((1, 2, 3), "Completed")
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (3, 60)


def test_completing_one_in_one_statement(store: Store) -> None:
    store.add_orders([1, 2])
    first, second = claim(store).claims
    done = Result(first, Verdict.COMPLETE, microseconds=10)
    missing_totals = store.run(lambda connection: complete_one(connection, done, slot=99))
    assert not missing_totals
    in_one = store.run(lambda connection: complete_one(connection, done, slot=2))
    assert in_one == (store.database.engine.dialect.name == "mysql")
    assert not store.run(lambda connection: complete_one(connection, done, slot=2)), "only once"
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == ((1, 10) if in_one else (0, 0))
    assert store.order(1).status == ("Completed" if in_one else "Processing")
    assert store.order(second.order_id).status == "Processing"


@pytest.mark.parametrize("number", [1, 2])
def test_the_queue_records_each_completion_once(store: Store, url: str, number: int) -> None:
    store.add_orders(range(number))
    results = [Result(each, Verdict.COMPLETE, microseconds=5) for each in claim(store).claims]
    database = Database.open(make_url(url), 1)
    orders = OrderQueue(database, settings_for(url))
    assert orders.record(results) == {result.claim.key for result in results}
    assert orders.record(results) == set()
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (number, 5 * number)
    database.engine.dispose()


def test_completing_all_is_completing_none_when_one_is_lost(store: Store, url: str) -> None:
    store.add_orders([1, 2, 3])
    lost = claim(store, 1, lease_seconds=0).claims[0]
    held = claim(store, owner="b").claims
    results = [Result(each, Verdict.COMPLETE, microseconds=5) for each in (lost, *held[1:])]
    with pytest.raises(NotAllHeld):
        store.run(lambda connection: complete_all(connection, results, slot=0))
    assert set(store.statuses().values()) == {"Processing"}
    assert store.statistics().completed == 0
    # The queue then looks which ones count.
    database = Database.open(make_url(url), 1)
    orders = OrderQueue(database, settings_for(url))
    assert orders.record(results) == {each.key for each in held[1:]}
    assert orders.record(results) == set(), "a second time nothing counts"
    assert store.statuses() == {1: "Processing", 2: "Completed", 3: "Completed"}
    assert store.statistics().completed == 2
    database.engine.dispose()


@pytest.mark.mysql
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_a_claim_holds_up_no_completion(store: Store) -> None:
    store.add_orders([1, 2, 3])
    held = claim(store, 2).claims
    results = [Result(each, Verdict.COMPLETE) for each in held]
    other = Store(store.database.engine.url.render_as_string(hide_password=False))

    def claim_and_wait(connection: Connection) -> list[int]:
        batch = claim_orders(
            connection, owner="b", limit=9, lease_seconds=60, max_attempts=5, idle=True
        )
        other.run(lambda its: complete_all(its, results, slot=0))
        return ids(batch.claims)

    assert store.run(claim_and_wait) == [3]
    assert store.statuses() == {1: "Completed", 2: "Completed", 3: "Processing"}
    other.database.engine.dispose()


@pytest.mark.mysql
def test_a_claim_passes_by_what_another_transaction_has_locked(mysql_url: str) -> None:
    store = Store(mysql_url)
    other = Store(mysql_url)
    store.run(lambda connection: connection.execute(text("DELETE FROM orders")))
    store.add_orders([1, 2, 3])

    def claim_around(connection: Connection) -> list[int]:
        connection.execute(select(Order.id).where(Order.order_id == 2).with_for_update())
        return ids(claim(other).claims)

    assert store.run(claim_around) == [1, 3]
    for opened in (store, other):
        opened.database.engine.dispose()


@pytest.mark.mysql
def test_a_claim_walks_past_any_number_of_locked_orders(mysql_url: str) -> None:
    store = Store(mysql_url)
    other = Store(mysql_url)
    store.run(lambda connection: connection.execute(text("DELETE FROM orders")))
    store.add_orders(range(1, 301))

    def claim_beyond(connection: Connection, locked: int) -> list[int]:
        connection.execute(select(Order.id).order_by(Order.id).limit(locked).with_for_update())
        return ids(claim(other, 2).claims)

    assert store.run(lambda connection: claim_beyond(connection, 290)) == [291, 292]
    assert store.run(lambda connection: claim_beyond(connection, 300)) == []
    for opened in (store, other):
        opened.database.engine.dispose()


@pytest.mark.mysql
def test_a_silent_process_loses_its_locks(mysql_url: str) -> None:
    store = Store(mysql_url)
    store.run(lambda connection: connection.execute(text("DELETE FROM orders")))
    store.add_orders([1, 2])
    silent = Database.open(make_url(mysql_url), 1, idle_timeout=1)
    with silent.connect() as connection:
        connection.exec_driver_sql("START TRANSACTION")
        connection.execute(select(Order.id).with_for_update())
        assert ids(claim(store).claims) == []
        claimed = wait_until(lambda: ids(claim(store).claims), 20, "free locks", every=0.2)
        connection.invalidate()
    assert claimed == [1, 2]
    for opened in (store.database, silent):
        opened.engine.dispose()


CLAIM_ALL = """
import json, sys
from sqlalchemy import make_url
from service.config import Settings
from service.database import Database
from service.dao.claims import Result, Verdict
from service.processing.order_queue import OrderQueue

url = make_url(sys.argv[1])
orders = OrderQueue(Database.open(url, 1), Settings(database_url=url))
seen = []
while claims := orders.claim(8, idle=False).claims:
    seen += [claim.id for claim in claims]
    orders.record([Result(claim, Verdict.COMPLETE) for claim in claims])
print(json.dumps(seen))
"""


def test_processes_share_the_orders_each_in_order_of_arrival(store: Store, url: str) -> None:
    store.add_orders(range(1, 1001))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, url], cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    seen = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert all(part == sorted(part) for part in seen), "claimed out of order"
    everything = [row_id for part in seen for row_id in part]
    assert len(everything) == len(set(everything)) == 1000
    assert store.statistics().completed == 1000
