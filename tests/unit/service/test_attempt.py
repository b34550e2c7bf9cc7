"""Who decides the result of an attempt: the first of several, and only once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from service.dao.claims import Claim
from service.processing.attempt import Attempt


@pytest.fixture
def attempt() -> Attempt:
    claim = Claim(1, 1, 1, 7, 1, [1], Decimal(1), datetime.now(UTC))
    return Attempt(claim, time.monotonic() + 60)


def test_the_first_end_counts(attempt: Attempt) -> None:
    assert attempt.end()
    assert not attempt.end()
    assert not attempt.end_unless_begun()
    assert not attempt.begin()


def test_what_waits_is_given_back_and_never_begins(attempt: Attempt) -> None:
    assert attempt.end_unless_begun()
    assert not attempt.begin()
    assert not attempt.end()


def test_what_has_begun_is_left_to_its_handler(attempt: Attempt) -> None:
    assert attempt.begin()
    assert not attempt.end_unless_begun()
    assert attempt.end(), "its worker goes on"
