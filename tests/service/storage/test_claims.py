"""Claims, leases and fences: who has an order, until when, and what becomes of it then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, delete, insert, select

from service.processing.order_queue import OrderQueue
from service.storage.claims import Claim, ClaimedBatch, claim_orders
from service.storage.completions import complete_all
from service.storage.leases import renew_leases
from service.storage.look import look
from service.storage.models import Order, OrderTotals
from service.storage.order_changes import retry
from service.storage.results import Result, Verdict
from tests.support.databases import ONLY_MYSQL, open_database, settings_for
from tests.support.inspection import Store, open_store
from tests.support.polling import wait_until
from tests.support.states import (
    TRUSTING,
    claim,
    claim_batch,
    pass_time,
    promote_due,
    record,
    record_held,
    row_of,
)

SECONDS = 20


def ids(claims: list[Claim]) -> list[int]:
    return [claim.order_id for claim in claims]


def test_claims_in_order_of_arrival_and_never_twice(store: Store) -> None:
    store.add_orders([30, 10, 20])
    assert ids(claim(store, 2)) == [30, 10]
    assert ids(claim(store, 2)) == [20]
    assert ids(claim(store, 2)) == []
    assert store.statuses() == {30: "Processing", 10: "Processing", 20: "Processing"}


def test_a_claim_of_none_ends_at_once(store: Store) -> None:
    store.add_orders([1])
    assert claim_batch(store, 0) == ClaimedBatch([], {})


def test_an_order_is_claimed_again_when_its_lease_has_ended(store: Store) -> None:
    store.add_orders([1, 2])
    [first] = claim(store, 1, lease_seconds=600)
    pass_time(store, 500)
    assert ids(claim(store, 1, owner="b", lease_seconds=600)) == [2]
    pass_time(store, 100)
    store.add_orders([3])
    again = claim(store, owner="b")
    assert ids(again) == [1, 3], "before what came later"
    assert again[0].attempt == 2
    assert len({first.fence, *(each.fence for each in again)}) == 3, "no fence repeats"


def test_renewing_a_lease_keeps_the_order(store: Store) -> None:
    store.add_orders([1])
    [held] = claim(store, lease_seconds=0)
    assert store.run(lambda connection: renew_leases(connection, [held], 60)) == {held.key}
    assert claim(store, owner="b") == []


def test_a_retry_is_claimed_when_its_delay_has_passed(store: Store) -> None:
    store.add_orders([1])
    [held] = claim(store)
    record(store, [Result(held, Verdict.RETRY, error="later", delay=600)])
    assert store.statuses() == {1: "Pending"}
    for seconds, claimed in ((500, []), (100, [1])):
        pass_time(store, seconds)
        assert promote_due(store) == len(claimed)
        assert store.run(lambda its: look(its, TRUSTING)).claimable == bool(claimed)
        assert ids(claim(store)) == claimed


@pytest.mark.parametrize("verdict", list(Verdict))
def test_who_lost_the_lease_changes_nothing(store: Store, verdict: Verdict) -> None:
    store.add_orders([1])
    [lost] = claim(store, lease_seconds=0)
    [held] = claim(store, owner="b")
    assert record_held(store, [Result(lost, verdict, error="late")]) == set()
    assert store.run(lambda connection: renew_leases(connection, [lost], 60)) == set()
    assert store.statuses() == {1: "Processing"}
    done = Result(held, Verdict.COMPLETE, microseconds=7)
    assert record_held(store, [done]) == {held.key}
    assert record_held(store, [done]) == {done.claim.key}, "recorded before, by this very claim"
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (1, 7)


def test_two_claims_of_one_process_on_an_order_count_once(store: Store) -> None:
    store.add_orders([1])
    [lost] = claim(store, lease_seconds=0)
    [held] = claim(store)
    results = [Result(each, Verdict.COMPLETE, microseconds=5) for each in (lost, held)]
    assert store.run(lambda connection: renew_leases(connection, [lost, held], 60)) == {held.key}
    assert record_held(store, results) == {held.key}
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (1, 5)


def test_records_a_mixed_batch_with_its_totals(store: Store) -> None:
    store.add_orders([1, 2, 3, 4, 5, 6])
    one, two, three, four, five, six = claim(store)
    record(
        store,
        [
            Result(six, Verdict.COMPLETE, microseconds=30),
            Result(one, Verdict.COMPLETE, microseconds=10),
            Result(two, Verdict.FAIL, error="broken"),
            Result(three, Verdict.RETRY, error="later", delay=60),
            Result(four, Verdict.GIVE_BACK),
            Result(five, Verdict.GIVE_BACK),
        ],
    )
    pending = dict.fromkeys((3, 4, 5), "Pending")
    assert store.statuses() == {1: "Completed", 2: "Failed", 6: "Completed"} | pending
    assert [store.order(number).processing_microseconds for number in (1, 2, 6)] == [10, None, 30]
    assert [store.order(number).last_error for number in (1, 2, 3)] == [None, "broken", "later"]
    assert [store.order(number).attempts for number in (3, 4, 5)] == [1, 0, 0]
    assert ids(claim(store)) == [4, 5], "given back at once, but not the retry"
    figures = store.statistics()
    assert (figures.completed, figures.failed, figures.processing_microseconds) == (2, 1, 40)
    assert (figures.pending, figures.waiting, figures.processing) == (1, 1, 2)


def test_an_order_without_an_attempt_left_fails(store: Store) -> None:
    store.add_orders([1, 2])
    for _ in range(2):
        claim_batch(store, 1, lease_seconds=0, max_attempts=2)
    batch = claim_batch(store, max_attempts=2)
    assert list(batch.exhausted) == [1]
    assert ids(batch.claims) == [2]
    assert store.statuses()[1] == "Failed"
    assert "worker died" in str(store.order(1).last_error)
    assert store.statistics().failed == 1


def test_an_order_whose_workers_died_twice_runs_alone(store: Store) -> None:
    store.add_orders([1, 2, 3])
    for _ in range(2):
        claim(store, 1, lease_seconds=0)
    busy = claim_batch(store, idle=False)
    assert (ids(busy.claims), busy.isolate) == ([], True)
    alone = claim_batch(store, idle=True)
    assert (ids(alone.claims), alone.isolate) == ([1], True)
    rest = claim_batch(store, idle=False)
    assert (ids(rest.claims), rest.isolate) == ([2, 3], False)


def test_a_failed_order_is_put_back_with_all_attempts(store: Store) -> None:
    store.add_orders([1])
    [held] = claim(store)
    record(store, [Result(held, Verdict.FAIL, error="broken")])
    row = row_of(store, 1)
    assert store.run(lambda connection: retry(connection, [row])).changed == 1
    assert store.run(lambda connection: retry(connection, [row])).changed == 0
    assert store.statistics().failed == 0
    assert claim(store)[0].attempt == 1


def test_a_lost_row_of_the_totals_fails_no_order(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.add_orders([1, 2, 3])
    store.run(lambda connection: connection.execute(delete(OrderTotals)))
    one, two, three = claim(store)
    store.run(lambda its: complete_all(its, [Result(one, Verdict.COMPLETE, 5)], slot=7))
    results = [Result(two, Verdict.COMPLETE, 6), Result(three, Verdict.FAIL, error="no")]
    record(store, results, slot=7)
    figures = store.statistics()
    assert (figures.completed, figures.failed, figures.processing_microseconds) == (2, 1, 11)
    assert "the row 7 of order_totals is missing" in caplog.text
    missing = [slot for slot in range(OrderTotals.SLOTS) if slot != 7]
    zeros = dict.fromkeys(("completed", "failed", "processing_microseconds"), 0)
    rows = [{"slot": slot, **zeros} for slot in missing]
    store.run(lambda connection: connection.execute(insert(OrderTotals), rows))


def test_claimers_share_the_orders_each_in_order_of_arrival(store: Store, url: str) -> None:
    store.add_orders(range(1, 401))

    def claim_all(_claimer: int) -> list[int]:
        seen = []
        settings = settings_for(url)
        database = open_database(url, 1)
        orders = OrderQueue(database, settings)
        while claims := orders.claim(8, idle=False, rule=TRUSTING).claims:
            seen += [claim.id for claim in claims]
            orders.record([Result(claim, Verdict.COMPLETE) for claim in claims])
        database.engine.dispose()
        return seen

    with ThreadPoolExecutor(4) as claimers:
        seen = list(claimers.map(claim_all, range(4)))
    assert all(part == sorted(part) for part in seen), "claimed out of order"
    everything = [row_id for part in seen for row_id in part]
    assert len(everything) == len(set(everything)) == 400
    assert store.statistics().completed == 400


@ONLY_MYSQL
def test_a_claim_holds_up_no_completion(store: Store, url: str) -> None:
    store.add_orders([1, 2, 3])
    results = [Result(each, Verdict.COMPLETE) for each in claim(store, 2)]

    def claim_and_wait(connection: Connection) -> list[int]:
        batch = claim_orders(
            connection,
            owner="b",
            limit=9,
            lease_seconds=60,
            max_attempts=5,
            idle=True,
            rule=TRUSTING,
        )
        other.run(lambda its: complete_all(its, results, slot=0))
        return ids(batch.claims)

    with open_store(url) as other:
        assert store.run(claim_and_wait) == [3]
    assert store.statuses() == {1: "Completed", 2: "Completed", 3: "Processing"}


@ONLY_MYSQL
def test_a_claim_passes_by_what_another_transaction_has_locked(store: Store, url: str) -> None:
    store.add_orders(range(1, 301))

    def claim_beyond(connection: Connection, locked: list[int]) -> list[int]:
        query = select(Order.id).where(Order.order_id.in_(locked)).with_for_update()
        assert len(connection.execute(query).all()) == len(locked)
        return ids(claim(other, 2))

    with open_store(url) as other:
        assert store.run(lambda its: claim_beyond(its, [2])) == [1, 3]
        assert store.run(lambda its: claim_beyond(its, [2, *range(4, 291)])) == [291, 292]
        assert store.run(lambda its: claim_beyond(its, [2, *range(4, 291), *range(293, 301)])) == []


@ONLY_MYSQL
def test_a_silent_process_loses_its_locks(store: Store, url: str) -> None:
    store.add_orders([1, 2])
    silent = open_database(url, 1, idle_timeout=1)
    with silent.connect() as connection:
        connection.exec_driver_sql("START TRANSACTION")
        connection.execute(select(Order.id).with_for_update())
        assert ids(claim(store)) == []
        claimed = wait_until(lambda: ids(claim(store)), SECONDS, "free locks", every=0.1)
        connection.invalidate()
    assert claimed == [1, 2]
    silent.engine.dispose()
