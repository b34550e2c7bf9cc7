"""Who takes a connection that all workers are offered."""

from __future__ import annotations

import pytest

from service.server.fair_accept import PATIENCE, ConnectionCounts, Turn

ME, OTHER = 7, 8


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only the test moves."""
    now = [100.0]
    monkeypatch.setattr("service.server.fair_accept.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def counts() -> ConnectionCounts:
    return ConnectionCounts()


def test_the_only_worker_takes_all(counts: ConnectionCounts) -> None:
    turn = Turn(counts)
    assert turn.is_mine(0)
    counts.set(ME, 1000)
    assert turn.is_mine(1000)


@pytest.mark.parametrize(("mine", "others", "taken"), [(3, 4, True), (4, 4, True), (5, 4, False)])
def test_a_worker_leaves_it_to_one_that_has_fewer(
    counts: ConnectionCounts, mine: int, others: int, taken: bool
) -> None:
    counts.set(ME, mine)
    counts.set(OTHER, others)
    assert Turn(counts).is_mine(mine) == taken


def test_it_is_left_for_a_moment_only(counts: ConnectionCounts, clock: list[float]) -> None:
    turn = Turn(counts)
    counts.set(OTHER, 0)
    assert not turn.is_mine(1)
    clock[0] += PATIENCE / 2
    assert not turn.is_mine(1)
    clock[0] += PATIENCE
    assert turn.is_mine(1)
    assert not turn.is_mine(1)


def test_each_connection_gets_the_whole_patience(
    counts: ConnectionCounts, clock: list[float]
) -> None:
    turn = Turn(counts)
    counts.set(OTHER, 0)
    assert not turn.is_mine(1)
    turn.end()
    clock[0] += 10 * PATIENCE
    assert not turn.is_mine(1)


def test_who_takes_no_more_is_not_waited_for(counts: ConnectionCounts) -> None:
    counts.set(OTHER, 0)
    counts.remove(OTHER)
    assert Turn(counts).is_mine(5)
