"""Batches: what collects, who waits for what, and who gets which answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from service import batching
from service.batching import LARGEST_BATCH, MOST_BATCHES, Batcher
from tests.support.polling import wait_until

SECONDS = 10


class Store:
    """The work of a batcher: notes the batches, and holds those that it is told to hold."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.held: set[int] = set()
        self.release = threading.Event()

    def work(self, entries: Sequence[int]) -> list[str | Exception]:
        self.batches.append(list(entries))
        if self.held & set(entries):
            assert self.release.wait(SECONDS)
        return [KeyError(entry) if entry < 0 else f"answer {entry}" for entry in entries]


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.release.set()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(LARGEST_BATCH + 20) as pool:
        yield pool


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MOST_BATCHES + 2) as pool:
        yield pool


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a batch is held, it does not count as hanging."""
    monkeypatch.setattr(batching, "OVERDUE_SECONDS", SECONDS)
    monkeypatch.setattr(Batcher, "_relieve", lambda _self: None)


def behind_a_held_batch(
    store: Store, batcher: Batcher[int, str], callers: ThreadPoolExecutor, entries: Sequence[int]
) -> list[Future[str]]:
    """Submit the entries, one by one, while a batch with 0 in it is under way."""
    store.held = {0}
    futures = [callers.submit(batcher.submit, 0)]
    wait_until(lambda: store.batches, SECONDS, "the first batch")
    for number, entry in enumerate(entries, 1):
        futures.append(callers.submit(batcher.submit, entry))
        wait_until(lambda n=number: len(batcher._waiting) == n, SECONDS, "the entry")
    return futures


def test_a_lone_entry_waits_for_nobody(store: Store, threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(store.work, threads)
    assert batcher.submit(1) == "answer 1"
    assert batcher.submit(2) == "answer 2"
    assert store.batches == [[1], [2]]


@pytest.mark.usefixtures("patience")
def test_what_arrives_meanwhile_goes_together(
    store: Store,
    threads: ThreadPoolExecutor,
    callers: ThreadPoolExecutor,
) -> None:
    futures = behind_a_held_batch(store, Batcher(store.work, threads), callers, [1, 2, 3])
    store.release.set()
    assert [future.result(SECONDS) for future in futures] == [f"answer {n}" for n in range(4)]
    assert store.batches == [[0], [1, 2, 3]]


@pytest.mark.usefixtures("patience")
def test_a_batch_has_a_largest_size(
    store: Store,
    threads: ThreadPoolExecutor,
    callers: ThreadPoolExecutor,
) -> None:
    entries = range(1, LARGEST_BATCH + 8)
    futures = behind_a_held_batch(store, Batcher(store.work, threads), callers, entries)
    store.release.set()
    assert [future.result(SECONDS) for future in futures][1:] == [f"answer {n}" for n in entries]
    assert [len(batch) for batch in store.batches] == [1, LARGEST_BATCH, 7]


@pytest.mark.usefixtures("patience")
def test_an_exception_in_place_of_an_answer_is_one_callers(
    store: Store,
    threads: ThreadPoolExecutor,
    callers: ThreadPoolExecutor,
) -> None:
    futures = behind_a_held_batch(store, Batcher(store.work, threads), callers, [1, -2, 3])
    store.release.set()
    assert futures[1].result(SECONDS) == "answer 1"
    with pytest.raises(KeyError):
        futures[2].result(SECONDS)
    assert futures[3].result(SECONDS) == "answer 3"


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("divide", [False, True])
def test_an_exception_of_the_work(
    store: Store,
    threads: ThreadPoolExecutor,
    callers: ThreadPoolExecutor,
    divide: bool,
) -> None:

    def work(entries: Sequence[int]) -> Sequence[str | Exception]:
        answers = store.work(entries)
        if 2 in entries:
            raise OSError("broken")
        return answers

    batcher = Batcher(work, threads, lambda error: divide and isinstance(error, OSError))
    futures = behind_a_held_batch(store, batcher, callers, [1, 2, 3])
    store.release.set()
    with pytest.raises(OSError, match="broken"):
        futures[2].result(SECONDS)
    for future, answer in ((futures[1], "answer 1"), (futures[3], "answer 3")):
        if divide:
            assert future.result(SECONDS) == answer
        else:
            with pytest.raises(OSError, match="broken"):
                future.result(SECONDS)
    assert sorted(store.batches[2:]) == ([[1], [2], [3]] if divide else [])


def test_a_batch_that_hangs_holds_nobody_up(
    store: Store, threads: ThreadPoolExecutor, callers: ThreadPoolExecutor
) -> None:
    batcher = Batcher(store.work, threads)
    futures = behind_a_held_batch(store, batcher, callers, [])
    # Nobody comes after this one, to see that it waits.
    assert callers.submit(batcher.submit, 1).result(SECONDS) == "answer 1"
    assert not futures[0].done()
    store.release.set()
    assert futures[0].result(SECONDS) == "answer 0"


def test_batches_that_hang_are_bounded(
    store: Store, threads: ThreadPoolExecutor, callers: ThreadPoolExecutor
) -> None:
    batcher = Batcher(store.work, threads)
    store.held = set(range(MOST_BATCHES + 2))
    futures = []
    for number in range(MOST_BATCHES):
        futures.append(callers.submit(batcher.submit, number))
        wait_until(lambda n=number: len(store.batches) == n + 1, SECONDS, "the batch")
    futures += [callers.submit(batcher.submit, MOST_BATCHES + n) for n in range(2)]
    wait_until(lambda: len(batcher._waiting) == 2, SECONDS, "the entries that wait")
    store.release.set()
    assert [future.result(SECONDS) for future in futures] == [
        f"answer {n}" for n in range(MOST_BATCHES + 2)
    ]
    assert len(store.batches) <= MOST_BATCHES + 2
