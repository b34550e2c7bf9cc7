"""Batches: what collects, who waits for what, and who gets which answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.accepting import batcher as module
from service.accepting.batcher import LARGEST_BATCH, MOST_BATCHES, Batcher
from service.storage.failures import OutcomeUnknown, Overloaded
from tests.support.polling import wait_until

SECONDS = 20
FOR_EVER = 3600.0


class Store:
    """The work of a batcher: notes the batches, and holds those that it is told to hold."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.held: set[int] = set()
        self.release = threading.Event()

    def has_begun(self, batches: int) -> bool:
        return len(self.batches) == batches

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
    with ThreadPoolExecutor(2 * LARGEST_BATCH) as pool:
        yield pool


def waits(batcher: Batcher[int, str], entries: int) -> bool:
    return batcher.waiting == entries


def behind_a_held_batch(
    callers: ThreadPoolExecutor,
    store: Store,
    batcher: Batcher[int, str],
    entries: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[int, str | BaseException]:
    """Submit the entries while a batch with 0 in it is on its way; return their answers."""
    # However long it takes here, the held batch does not count as overdue.
    monkeypatch.setattr(module, "OVERDUE_SECONDS", FOR_EVER)
    monkeypatch.setattr(module, "QUEUE_TIMEOUT", FOR_EVER)
    store.held = {0}
    futures: dict[int, Future[str]] = {0: callers.submit(batcher.submit, 0)}
    wait_until(lambda: store.batches, SECONDS, "the first batch")
    for number, entry in enumerate(entries, 1):
        futures[entry] = callers.submit(batcher.submit, entry)
        wait_until(partial(waits, batcher, number), SECONDS, "the entry")
    store.release.set()
    return {entry: one.exception(SECONDS) or one.result() for entry, one in futures.items()}


def test_a_lone_entry_waits_for_nobody(store: Store) -> None:
    batcher = Batcher(store.work)
    assert [batcher.submit(1), batcher.submit(2)] == ["answer 1", "answer 2"]
    assert store.batches == [[1], [2]]


def test_its_caller_sends_it() -> None:
    batcher: Batcher[int, int] = Batcher(lambda entries: [threading.get_ident() for _ in entries])
    assert batcher.submit(1) == threading.get_ident()


def test_what_arrives_meanwhile_goes_together(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(store.work)
    answers = behind_a_held_batch(callers, store, batcher, [3, 1, 2], monkeypatch)
    assert answers == {number: f"answer {number}" for number in range(4)}
    assert store.batches == [[0], [3, 1, 2]]


def test_a_batch_has_a_largest_size(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = range(1, LARGEST_BATCH + 8)
    answers = behind_a_held_batch(callers, store, Batcher(store.work), entries, monkeypatch)
    assert answers == {number: f"answer {number}" for number in (0, *entries)}
    assert [len(batch) for batch in store.batches] == [1, LARGEST_BATCH, 7]


def test_an_exception_in_place_of_an_answer_is_one_callers(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = behind_a_held_batch(callers, store, Batcher(store.work), [1, -2, 3], monkeypatch)
    assert isinstance(answers.pop(-2), KeyError)
    assert answers == {number: f"answer {number}" for number in (0, 1, 3)}


@pytest.mark.parametrize("divide", [False, True])
def test_an_exception_of_the_work(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch, divide: bool
) -> None:
    def work(entries: Sequence[int]) -> Sequence[str | Exception]:
        answers = store.work(entries)
        if 2 in entries:
            raise OSError("broken")
        return answers

    batcher = Batcher(work, lambda error: divide and isinstance(error, OSError))
    answers = behind_a_held_batch(callers, store, batcher, [1, 2, 3], monkeypatch)
    failed = {number for number, answer in answers.items() if isinstance(answer, OSError)}
    assert failed == ({2} if divide else {1, 2, 3})
    assert sorted(store.batches[2:]) == ([[1], [2], [3]] if divide else [])


def test_too_few_answers_leave_nobody_waiting(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher: Batcher[int, Any] = Batcher(lambda entries: store.work(entries)[:1])
    answers = behind_a_held_batch(callers, store, batcher, [1, 2], monkeypatch)
    assert {type(answers[number]) for number in (1, 2)} == {ValueError}


def test_a_leader_that_dies_leaves_nobody_waiting(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(entries: Sequence[int]) -> Sequence[str | Exception]:
        answers = store.work(entries)
        if 1 in entries:
            raise SystemExit
        return answers

    batcher = Batcher(work)
    answers = behind_a_held_batch(callers, store, batcher, [1, 2], monkeypatch)
    assert Counter(type(answers[number]) for number in (1, 2)) == {SystemExit: 1, OutcomeUnknown: 1}
    assert batcher.submit(3) == "answer 3"


def test_a_batch_that_hangs_holds_nobody_up(callers: ThreadPoolExecutor, store: Store) -> None:
    batcher = Batcher(store.work)
    store.held = {0}
    hanging = callers.submit(batcher.submit, 0)
    wait_until(lambda: store.batches, SECONDS, "the first batch")
    # Nobody comes after this one, to see that it waits.
    assert callers.submit(batcher.submit, 1).result(SECONDS) == "answer 1"
    assert not hanging.done()
    store.release.set()
    assert hanging.result(SECONDS) == "answer 0"


def test_it_says_how_long_nothing_was_answered(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    batcher = Batcher(store.work)
    assert batcher.submit(1) == "answer 1"
    assert batcher.silent_for() == 0
    store.held = {0}
    hanging = callers.submit(batcher.submit, 0)
    wait_until(lambda: batcher.silent_for() > 0.2, SECONDS, "the silence")
    # Another one is answered, so the database is not to blame.
    before = time.monotonic()
    assert batcher.submit(2) == "answer 2"
    assert batcher.silent_for() <= time.monotonic() - before
    store.release.set()
    assert hanging.result(SECONDS) == "answer 0"
    assert batcher.silent_for() == 0


def test_batches_that_hang_are_bounded_and_the_next_ones_are_refused(
    callers: ThreadPoolExecutor, store: Store
) -> None:
    batcher = Batcher(store.work)
    entries = range(MOST_BATCHES + 2)
    store.held = set(entries)
    futures = []
    for number in entries:
        futures.append(callers.submit(batcher.submit, number))
        most = min(number + 1, MOST_BATCHES)
        wait_until(partial(store.has_begun, most), SECONDS, "its batch")
    for refused in futures[MOST_BATCHES:]:
        assert isinstance(refused.exception(SECONDS), Overloaded)
    store.release.set()
    answers = [one.result(SECONDS) for one in futures[:MOST_BATCHES]]
    assert answers == [f"answer {n}" for n in range(MOST_BATCHES)]
    assert [number for batch in store.batches for number in batch] == [*range(MOST_BATCHES)]


def test_who_waits_too_long_for_an_answer_does_not_know_it(
    callers: ThreadPoolExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(store.work)
    monkeypatch.setattr(module, "OVERDUE_SECONDS", FOR_EVER)
    store.held = {0}
    first = callers.submit(batcher.submit, 0)
    wait_until(lambda: store.batches, SECONDS, "the first batch")
    both = [callers.submit(batcher.submit, number) for number in (1, 2)]
    wait_until(lambda: batcher.waiting == 2, SECONDS, "the next entries")
    # The one that leads the next batch is held in it, and the other waits for it.
    hold, store.release = store.release, threading.Event()
    store.held = {1, 2}
    hold.set()
    wait_until(lambda: len(store.batches) == 2, SECONDS, "their batch")
    monkeypatch.setattr(module, "QUEUE_TIMEOUT", 0)
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0)
    wait_until(lambda: any(one.done() for one in both), SECONDS, "the end of one wait")
    store.release.set()
    errors = [one.exception(SECONDS) for one in both]
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "OutcomeUnknown"]
    assert first.result(SECONDS) == "answer 0"


@settings(deadline=None, max_examples=25)
@given(
    threads=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), min_size=2, max_size=16)
)
def test_whatever_comes_at_once_each_gets_its_own_answer(threads: list[list[int]]) -> None:
    """9 breaks its whole batch, 8 breaks it and may be tried alone, 7 has an error of its own."""
    worked: Counter[int] = Counter()

    def work(entries: Sequence[tuple[int, int]]) -> list[Any]:
        kinds = {kind for _, kind in entries}
        if 9 in kinds:
            raise LookupError
        if 8 in kinds:
            raise OSError
        worked.update(number for number, _ in entries)
        return [KeyError(number) if kind == 7 else number for number, kind in entries]

    batcher: Batcher[tuple[int, int], Any] = Batcher(work, lambda e: isinstance(e, OSError))

    def call(number: int, kinds: list[int]) -> list[tuple[tuple[int, int], Any]]:
        answers = []
        for position, kind in enumerate(kinds):
            entry = (number * 1000 + position, kind)
            try:
                answers.append((entry, batcher.submit(entry)))
            except (LookupError, OSError) as error:
                answers.append((entry, error))
        return answers

    with ThreadPoolExecutor(len(threads)) as pool:
        called = [pool.submit(call, number, kinds) for number, kinds in enumerate(threads)]
        answers = [answer for one in called for answer in one.result(SECONDS)]
    assert len(answers) == sum(map(len, threads))
    for entry, answer in answers:
        assert_is_its_own(entry, answer, worked)
    assert batcher.waiting == 0


def assert_is_its_own(entry: tuple[int, int], answer: object, worked: Counter[int]) -> None:
    number, kind = entry
    if not isinstance(answer, Exception):
        assert (answer, worked[number]) == (number, 1)
    elif kind == 7 and isinstance(answer, KeyError):
        assert answer.args == (number,)
    elif kind < 8:
        # A batch of others took it along: it was not worked on.
        assert type(answer) is LookupError
        assert worked[number] == 0
