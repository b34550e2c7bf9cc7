"""Orders that wait for a later attempt: apart from the others, back when due, and counted."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, func, select, text, update

from service.storage.claims import LeaseRule
from service.storage.models import Order
from service.storage.moments import utcnow
from service.storage.results import Result, Verdict
from service.storage.waiting import come_back, find_due, find_from_before_a_jump
from tests.support.inspection import Store
from tests.support.states import claim, claim_batch, pass_time, promote_due, record, row_of

HOUR = 3600.0


def wait_for_retry(store: Store, *order_ids: int, seconds: float = 600) -> None:
    """Have orders wait for a retry."""
    store.add_orders(order_ids)
    claims = [one for one in claim(store) if one.order_id in order_ids]
    record(store, [Result(one, Verdict.RETRY, error="later", delay=seconds) for one in claims])


def set_clock_back(store: Store, seconds: float) -> None:
    """Make all moments of the orders so much later, as a clock that was set back would."""
    names = ("created_at", "updated_at", "available_at", "next_attempt_at")
    columns = [getattr(Order, name) for name in names]
    for row in store.run(lambda its: its.execute(select(Order.id, *columns)).all()):
        later = {
            name: value + timedelta(seconds=seconds)
            for name, value in zip(names, row[1:], strict=True)
            if value is not None and value.year < 9999
        }
        changed = update(Order).where(Order.id == row.id).values(**later)
        store.run(partial(Connection.execute, statement=changed))


def test_what_waits_is_pending_counted_and_not_claimed(store: Store) -> None:
    wait_for_retry(store, 1, 2)
    store.add_orders([3])
    assert store.statuses() == dict.fromkeys((1, 2, 3), "Pending")
    figures = store.statistics()
    assert (figures.pending, figures.waiting, figures.total) == (3, 2, 3)
    assert [one.order_id for one in claim(store)] == [3]
    assert store.order(1).next_attempt_at is not None
    assert store.order(3).next_attempt_at is None


def test_it_comes_back_when_due_once_whoever_looks(store: Store) -> None:
    wait_for_retry(store, 1, 2)
    pass_time(store, 599)
    assert promote_due(store) == 0
    pass_time(store, 2)
    found = store.run(lambda its: find_due(its, 10))
    assert sorted(found) == sorted([row_of(store, 1), row_of(store, 2)])
    assert [store.run(lambda its: come_back(its, found, slot=3)) for _ in "12"] == [2, 0]
    figures = store.statistics()
    assert (figures.pending, figures.waiting) == (2, 0)
    assert 1 <= figures.oldest_due_seconds < 60, "since when it is due, not since its acceptance"
    assert [(one.order_id, one.attempt) for one in claim(store)] == [(1, 2), (2, 2)]


def test_the_former_release_leaves_it_alone(store: Store) -> None:
    """That one claims what is unfinished and available."""
    wait_for_retry(store, 1, seconds=0)
    query = select(func.count()).where(Order.outcome.is_(None), Order.available_at <= utcnow())
    assert store.run(lambda its: its.execute(query).scalar()) == 0


def test_what_waited_before_the_clock_was_set_back_comes_back_at_once(store: Store) -> None:
    wait_for_retry(store, 1)
    assert store.run(lambda its: find_from_before_a_jump(its, 10)) == []
    set_clock_back(store, HOUR)
    assert promote_due(store) == 0
    found = store.run(lambda its: find_from_before_a_jump(its, 10))
    assert store.run(lambda its: come_back(its, found, slot=0)) == 1
    assert [one.order_id for one in claim(store)] == [1]


def test_a_clock_that_was_set_back_delays_no_order(store: Store) -> None:
    store.add_orders([1, 2])
    [held] = claim(store, 1, lease_seconds=60)
    set_clock_back(store, HOUR)
    rule = LeaseRule(trusted=True, longest=60)
    assert [one.order_id for one in claim_batch(store, rule=rule).claims] == [1, 2]
    assert held.order_id == 1


def test_after_a_jump_no_lease_counts_as_ended(store: Store) -> None:
    store.add_orders([1, 2])
    claim(store, 1, lease_seconds=60)
    pass_time(store, HOUR)
    rule = LeaseRule(trusted=False, longest=60)
    assert [one.order_id for one in claim_batch(store, rule=rule).claims] == [2]
    rule = LeaseRule(trusted=True, longest=60)
    assert [one.order_id for one in claim_batch(store, rule=rule).claims] == [1]


def test_a_lost_attempt_is_kept_with_its_worker(store: Store) -> None:
    store.add_orders([1])
    claim(store, owner="a", lease_seconds=0)
    claim(store, owner="b")
    query = text("SELECT attempt, result, worker, error FROM order_attempts")
    [lost] = store.run(lambda its: its.execute(query).all())
    assert tuple(lost) == (1, "lost", "a", "its worker died or lost its lease")
