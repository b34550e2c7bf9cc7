"""A receiver that is away: real processors, and a real receiver that comes and goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from service.storage.processing_state import SharedState, read_state
from tests.support.databases import ONLY_MYSQL
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.receiver import Receiver
from tests.support.service_process import Worker

pytestmark = pytest.mark.slow

SECONDS = 60.0
WORKERS, THREADS = 2, 4
# Of an outage, compressed: the pauses between the tries grow to 1, 2 and 4 s in it.
OUTAGE_SECONDS = 4.0
ORDERS_A_SECOND = 50


@contextmanager
def workers(directory: Path, url: str, receiver: Receiver) -> Iterator[list[Worker]]:
    environment = receiver.environment | {"PROCESSOR_THREADS": THREADS}
    with ExitStack() as stack:
        found = [stack.enter_context(Worker(directory, url, **environment)) for _ in range(WORKERS)]
        for worker in found:
            worker.start()
        yield found
        assert [worker.stop() for worker in found] == [0] * WORKERS


def state(store: Store) -> SharedState:
    return store.run(read_state)


def accept_for(store: Store, seconds: float, first: int) -> int:
    """Accept orders for so long; return the id after the last one."""
    began = time.monotonic()
    following = first
    while (passed := time.monotonic() - began) < seconds:
        due = first + round(passed * ORDERS_A_SECOND)
        if due > following:
            store.add_orders(range(following, due))
            following = due
        time.sleep(0.02)
    return following


@pytest.mark.parametrize(
    ("url", "how"),
    [
        ("sqlite", "503"),
        ("sqlite", "dropped"),
        pytest.param("mysql", "refused", marks=pytest.mark.mysql),
        pytest.param("mysql", "429 with Retry-After", marks=pytest.mark.mysql),
    ],
    indirect=["url"],
)
def test_an_outage_costs_no_attempt_and_loses_nothing(
    tmp_path: Path, url: str, store: Store, how: str
) -> None:
    with Receiver() as receiver, workers(tmp_path, url, receiver):
        store.add_orders(range(1, 51))
        wait_until(lambda: store.statistics().completed == 50, SECONDS, "the first orders")
        if how == "refused":
            receiver.close()
        receiver.status = {"503": 503, "429 with Retry-After": 429, "dropped": 0}.get(how, 200)
        receiver.retry_after = "2" if how == "429 with Retry-After" else None
        following = accept_for(store, OUTAGE_SECONDS, 51)
        assert state(store).away
        receiver.status = 200
        if how == "refused":
            receiver.open()
        store.wait_finished(SECONDS)
        assert not state(store).away
    accepted = set(range(1, following))
    store.assert_all_completed_once(accepted)
    assert store.attempts() == {1: len(accepted)}, "an absence has used up attempts"
    assert receiver.answered(200) == dict.fromkeys(accepted, 1)
    in_vain = [call for call in receiver.calls if call.status != 200]
    # What was under way when it began, and one order for each try. A kept connection that ends
    # without an answer may have been stale, so the call is sent once more.
    most = WORKERS * THREADS + 4
    assert len(in_vain) <= (2 * most if how == "dropped" else most)
    assert store.statistics().waiting == 0


def test_an_order_that_alone_meets_an_absence_fails_alone(
    tmp_path: Path, url: str, store: Store
) -> None:
    receiver = Receiver(poisonous={7})
    receiver_settings = receiver.environment | {"PROCESSOR_RETRY_DELAYS": "0.1s,0.1s"}
    with receiver, Worker(tmp_path, url, **receiver_settings, PROCESSOR_THREADS=2) as worker:
        worker.start()
        store.add_orders(range(1, 101))
        wait_until(lambda: store.statistics().completed == 99, SECONDS, "the good orders")
        following = 101
        while store.order(7).status != "Failed":
            # Others keep coming, and succeed.
            following = accept_for(store, 0.5, following)
            assert following < 101 + SECONDS * ORDERS_A_SECOND
        store.wait_finished(SECONDS)
    # Three attempts that count. Before, it is put aside: once while others succeed, up to three
    # times when none was there at the moment, and each absence may be tried with it.
    assert 4 <= receiver.answered(503)[7] <= 15
    assert (store.order(7).attempts, store.statistics().failed) == (3, 1)
    assert set(store.statuses().values()) == {"Completed", "Failed"}
    assert store.attempts() == {1: following - 2, 3: 1}


@ONLY_MYSQL
def test_the_tries_are_one_order_at_a_time_with_growing_pauses(
    tmp_path: Path, url: str, store: Store
) -> None:
    with Receiver() as receiver, workers(tmp_path, url, receiver):
        receiver.status = 503
        store.add_orders(range(1, 201))
        wait_until(lambda: len(receiver.calls) >= WORKERS * THREADS, SECONDS, "the first calls")

        def pauses() -> list[float]:
            return [after.at - before.at for before, after in pairwise(receiver.calls[-4:])]

        # Each process looks once a second, so a try may be later, but not earlier than meant.
        wait_until(
            lambda: all(map(float.__ge__, pauses(), (0.9, 1.9, 3.8))), SECONDS, "growing pauses"
        )
        began = len(receiver.calls) - 3
        receiver.status = 200
        store.wait_finished(SECONDS)
    assert began <= WORKERS * THREADS + 2, "more than what were under way were called"
    store.assert_all_completed_once(set(range(1, 201)))
