"""Batches: what collects, who waits for what, and who gets which answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from service.accepting import batcher as batching
from service.accepting.batcher import LARGEST_BATCH, MOST_BATCHES, OVERDUE_SECONDS, Batcher
from service.server import handover
from tests.support.event_loop import SECONDS, Loop
from tests.support.polling import wait_until


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
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * MOST_BATCHES) as pool:
        yield pool


def request(batcher: Batcher[int, str], entry: int) -> str | Exception:
    """Return the answer for the entry, or what was raised in its place."""
    try:
        return batcher.submit(entry)
    except (OSError, KeyError) as error:
        return error


def answers_behind_a_held_batch(
    loop: Loop,
    store: Store,
    batcher: Batcher[int, str],
    entries: Sequence[int],
    *,
    in_turns_of_their_own: bool = False,
) -> dict[int, str | Exception]:
    """Submit the entries while a batch with 0 in it is under way; return their answers."""
    answers: dict[int, str | Exception] = {}

    def serve(entry: int) -> None:
        loop.serve(lambda: answers.update({entry: request(batcher, entry)}))

    store.held = {0}
    serve(0)
    loop.run_until(lambda: store.batches)
    for entry in entries:
        serve(entry)
        if in_turns_of_their_own:
            handover.end_turn()
    handover.end_turn()
    store.release.set()
    loop.run_until_ended(1 + len(entries))
    return answers


@pytest.mark.usefixtures("no_loop")
def test_a_lone_entry_waits_for_nobody(store: Store, threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(store.work, threads)
    assert batcher.submit(1) == "answer 1"
    assert batcher.submit(2) == "answer 2"
    assert store.batches == [[1], [2]]


def test_what_arrives_meanwhile_goes_together(
    loop: Loop, store: Store, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine may be slow.
    monkeypatch.setattr(batching, "OVERDUE_SECONDS", 1.0)
    batcher = Batcher(store.work, threads)
    answers = answers_behind_a_held_batch(
        loop, store, batcher, [1, 2, 3], in_turns_of_their_own=True
    )
    assert answers == {number: f"answer {number}" for number in range(4)}
    assert store.batches == [[0], [1, 2, 3]]


def test_a_batch_has_a_largest_size(loop: Loop, store: Store, threads: ThreadPoolExecutor) -> None:
    entries = range(1, LARGEST_BATCH + 8)
    batcher = Batcher(store.work, threads)
    answers = answers_behind_a_held_batch(loop, store, batcher, entries)
    assert answers == {number: f"answer {number}" for number in (0, *entries)}
    assert [len(batch) for batch in store.batches] == [1, LARGEST_BATCH, 7]


def test_an_exception_in_place_of_an_answer_is_one_callers(
    loop: Loop, store: Store, threads: ThreadPoolExecutor
) -> None:
    batcher = Batcher(store.work, threads)
    answers = answers_behind_a_held_batch(loop, store, batcher, [1, -2, 3])
    assert isinstance(answers.pop(-2), KeyError)
    assert answers == {number: f"answer {number}" for number in (0, 1, 3)}


@pytest.mark.parametrize("divide", [False, True])
def test_an_exception_of_the_work(
    loop: Loop, store: Store, threads: ThreadPoolExecutor, divide: bool
) -> None:
    def work(entries: Sequence[int]) -> Sequence[str | Exception]:
        answers = store.work(entries)
        if 2 in entries:
            raise OSError("broken")
        return answers

    batcher = Batcher(work, threads, lambda error: divide and isinstance(error, OSError))
    answers = answers_behind_a_held_batch(loop, store, batcher, [1, 2, 3])
    failed = {number for number, answer in answers.items() if isinstance(answer, OSError)}
    assert failed == ({2} if divide else {1, 2, 3})
    assert sorted(store.batches[2:]) == ([[1], [2], [3]] if divide else [])


@pytest.mark.usefixtures("no_loop")
def test_a_batch_that_hangs_holds_nobody_up(store: Store, threads: ThreadPoolExecutor) -> None:
    batcher = Batcher(store.work, threads)
    store.held = {0}
    with ThreadPoolExecutor() as callers:
        hanging = callers.submit(batcher.submit, 0)
        wait_until(lambda: store.batches, SECONDS, "the first batch")
        # Nobody comes after this one, to see that it waits.
        assert callers.submit(batcher.submit, 1).result(SECONDS) == "answer 1"
        assert not hanging.done()
        store.release.set()
        assert hanging.result(SECONDS) == "answer 0"


def test_batches_that_hang_are_bounded(
    loop: Loop, store: Store, threads: ThreadPoolExecutor
) -> None:
    batcher = Batcher(store.work, threads)
    entries = range(MOST_BATCHES + 2)
    store.held = set(entries)

    def sent(number: int) -> bool:
        return len(store.batches) == min(number, MOST_BATCHES)

    for number in entries:
        loop.serve(partial(request, batcher, number))
        loop.run_until(partial(sent, number + 1))
    enough = time.monotonic() + 3 * OVERDUE_SECONDS
    loop.run_until(lambda: time.monotonic() > enough)
    assert len(store.batches) == MOST_BATCHES
    store.release.set()
    assert sorted(loop.run_until_ended(len(entries))) == [f"answer {n}" for n in entries]
