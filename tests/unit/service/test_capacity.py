"""How many orders a process claims: ahead only for handlers that are quick."""

from __future__ import annotations

import pytest

from service.processing.capacity import AHEAD_SECONDS, LARGEST_AHEAD, Capacity

THREADS = 8


def make(handler_seconds: float | None = None, *, may_claim_ahead: bool = True) -> Capacity:
    capacity = Capacity(THREADS, may_claim_ahead=may_claim_ahead)
    if handler_seconds is not None:
        for _ in range(2000):
            capacity.observe(handler_seconds)
    return capacity


def test_at_first_it_claims_for_its_threads() -> None:
    capacity = make()
    assert capacity.room() == THREADS
    capacity.take(THREADS)
    assert not capacity.wants_more()
    capacity.release()
    assert capacity.wants_more()
    assert capacity.room() == 1


@pytest.mark.parametrize("seconds", [AHEAD_SECONDS, 1, 60])
def test_a_slow_handler_has_nothing_claimed_ahead(seconds: float) -> None:
    assert make(seconds).room() == THREADS


def test_ahead_is_what_the_threads_soon_begin() -> None:
    assert make(AHEAD_SECONDS / 10).room() == pytest.approx(THREADS + THREADS * 10, abs=1)


def test_ahead_is_bounded() -> None:
    assert make(0.0).room() == THREADS + LARGEST_AHEAD


def test_it_waits_until_half_of_that_is_begun() -> None:
    capacity = make(0.0)
    capacity.take(THREADS + LARGEST_AHEAD)
    for _ in range(LARGEST_AHEAD // 2):
        capacity.release()
        assert not capacity.wants_more()
    capacity.release()
    assert capacity.wants_more()


def test_one_slow_handler_counts_at_once() -> None:
    capacity = make(0.0)
    capacity.observe(1)
    assert capacity.room() == THREADS
    for _ in range(1000):
        capacity.observe(0)
    assert capacity.room() == THREADS + LARGEST_AHEAD


def test_it_may_be_told_never_to_claim_ahead() -> None:
    assert make(0.0, may_claim_ahead=False).room() == THREADS
