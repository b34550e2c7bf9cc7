"""The database's clock, watched for jumps by this process's own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from service.processing.clock import DatabaseClock

START = datetime(2026, 1, 1)  # noqa: DTZ001 - naive UTC, as in the database


class OwnClock:
    """This process's clock, which a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def observe(self, clock: DatabaseClock, seconds: float, *, took: float = 0.0) -> None:
        """Let the database say that so many seconds have passed since `START`."""
        asked = self.now
        self.now += took
        clock.observe(START + timedelta(seconds=seconds), asked)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> OwnClock:
    return OwnClock(monkeypatch)


@pytest.mark.parametrize("jump", [3600, -3600, 5, -5])
def test_after_a_jump_leases_are_not_believed_for_as_long_as_one(own: OwnClock, jump: int) -> None:
    clock = DatabaseClock(15)
    own.observe(clock, 0)
    assert clock.rule().trusted
    own.now += 1
    own.observe(clock, 1 + jump)
    assert (clock.rule().trusted, clock.jumps) == (False, 1)
    own.now += 14.9
    own.observe(clock, 15.9 + jump)
    assert not clock.rule().trusted
    own.now += 0.2
    assert (clock.rule().trusted, clock.jumps) == (True, 1)


def test_drift_and_a_slow_answer_are_no_jump(own: OwnClock) -> None:
    clock = DatabaseClock(15)
    for second in range(100):
        own.observe(clock, second * 1.5)
        own.now += 1
    own.observe(clock, 150, took=4)
    assert (clock.rule().trusted, clock.jumps) == (True, 0)


def test_the_longest_lease_of_all_processors_counts(own: OwnClock) -> None:
    clock = DatabaseClock(15)
    clock.note_longest_lease(60)
    clock.note_longest_lease(5)
    own.observe(clock, 0)
    own.observe(clock, 3600)
    own.now += 59
    assert not clock.rule().trusted
    own.now += 2
    assert clock.rule().trusted
    assert clock.rule().parameters == {"trusted": 1, "longest": 61}


def test_the_hosts_time_zone_does_not_matter(
    own: OwnClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = DatabaseClock(15)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    summer_time = datetime(2026, 3, 29, 1, 0, tzinfo=UTC).replace(tzinfo=None)
    for seconds in (-30, 30):
        clock.observe(summer_time + timedelta(seconds=seconds), own.now)
        own.now += 60
    assert clock.jumps == 0
    monkeypatch.undo()
    time.tzset()
