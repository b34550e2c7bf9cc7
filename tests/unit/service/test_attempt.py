"""An attempt: who decides its result, once, and what its handler is told."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from service.processing.attempt import Attempt
from service.storage.claims import Claim


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


def test_a_handler_can_ask_whether_its_result_is_still_wanted(attempt: Attempt) -> None:
    task = attempt.task()
    assert not task.cancelled()
    attempt.cancel()
    assert task.cancelled()


def test_every_attempt_at_an_order_has_the_same_token(attempt: Attempt) -> None:
    again = Attempt(replace(attempt.claim, attempt=2, fence=8), attempt.lease_ends)
    assert again.task().attempt == 2
    assert again.task().idempotency_token == attempt.task().idempotency_token


def test_a_retry_with_a_new_key_has_another_token(attempt: Attempt) -> None:
    # No token is another order's, either.
    claims = [
        replace(attempt.claim, order_id=number, key_version=version)
        for number in (1, 11)
        for version in (0, 1, 11)
    ]
    tokens = [Attempt(claim, attempt.lease_ends).task().idempotency_token for claim in claims]
    assert len(set(tokens)) == len(claims)
    later = replace(claims[1], attempt=2, fence=8)
    assert Attempt(later, attempt.lease_ends).task().idempotency_token == tokens[1]


def test_a_lost_lease_lets_no_handler_begin(attempt: Attempt) -> None:
    assert not Attempt(attempt.claim, time.monotonic()).begin()
