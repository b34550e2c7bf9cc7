"""The usual end of attempts, in one statement: all that were held are completed, each once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.processing.order_queue import OrderQueue
from service.storage.claims import Claim
from service.storage.completions import NotAllHeld, complete_all, complete_one
from service.storage.results import Result, Verdict
from tests.support.databases import open_database, settings_for
from tests.support.inspection import Store
from tests.support.states import claim


@pytest.fixture
def orders(url: str) -> Iterator[OrderQueue]:
    """The queue as the processor uses it."""
    settings = settings_for(url)
    database = open_database(url, 1)
    yield OrderQueue(database, settings)
    database.engine.dispose()


def completed(*claims: Claim) -> list[Result]:
    """Return results of which the n-th took n * 10 microseconds."""
    return [
        Result(each, Verdict.COMPLETE, microseconds=number * 10)
        for number, each in enumerate(claims, 1)
    ]


def test_all_in_one_statement(store: Store) -> None:
    store.add_orders([1, 2, 3])
    results = completed(*claim(store))
    store.run(lambda connection: complete_all(connection, results[::-1], slot=2))
    assert [store.order(number).processing_microseconds for number in (1, 2, 3)] == [10, 20, 30]
    assert store.statuses() == dict.fromkeys((1, 2, 3), "Completed")
    figures = store.statistics()
    assert (figures.completed, figures.processing_microseconds) == (3, 60)


def test_one_in_one_statement(store: Store) -> None:
    store.add_orders([1, 2])
    first, second = claim(store)
    [done] = completed(first)
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
def test_each_is_recorded_once(store: Store, orders: OrderQueue, number: int) -> None:
    store.add_orders(range(number))
    results = completed(*claim(store))
    assert orders.record(results) == results
    assert orders.record(results) == results, "recorded before, and not lost"
    figures = store.statistics()
    taken = sum(result.microseconds for result in results)
    assert (figures.completed, figures.processing_microseconds) == (number, taken)


def test_none_is_completed_together_with_one_that_is_lost(store: Store, orders: OrderQueue) -> None:
    store.add_orders([1, 2, 3])
    [lost] = claim(store, 1, lease_seconds=0)
    _, *held = claim(store, owner="b")
    results = completed(lost, *held)
    with pytest.raises(NotAllHeld):
        store.run(lambda connection: complete_all(connection, results, slot=0))
    assert set(store.statuses().values()) == {"Processing"}
    assert store.statistics().completed == 0
    # The queue then looks which ones count.
    for _ in range(2):
        assert orders.record(results) == [None, *results[1:]]
    assert store.statuses() == {1: "Processing", 2: "Completed", 3: "Completed"}
    assert store.statistics().completed == 2
