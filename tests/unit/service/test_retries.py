"""What follows from a failed attempt: when the next one is, and what is said about it."""

from __future__ import annotations

import random
from datetime import datetime
from decimal import Decimal

import pytest

from service.processing.handlers import OrderRejected
from service.processing.retries import describe, failure, retry_delay
from service.storage.claims import Claim
from service.storage.results import Verdict


def claim(attempt: int) -> Claim:
    moment = datetime(2026, 1, 1)  # noqa: DTZ001 - naive UTC, as in the database
    return Claim(1, 1, attempt, 1, 1, [1], Decimal(1), moment)


def longest(monkeypatch: pytest.MonkeyPatch, attempt: int) -> float:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return retry_delay(attempt)


def shortest(monkeypatch: pytest.MonkeyPatch, attempt: int) -> float:
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    return retry_delay(attempt)


def test_delays_double_from_one_second_to_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    doubled = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    attempts = range(1, len(doubled) + 1)
    assert [longest(monkeypatch, attempt) for attempt in attempts] == doubled
    assert [2 * shortest(monkeypatch, attempt) for attempt in attempts] == doubled


@pytest.mark.parametrize("attempt", [1, 5, 10**9])
def test_delays_are_jittered_within_their_bounds(
    monkeypatch: pytest.MonkeyPatch, attempt: int
) -> None:
    delays = [retry_delay(attempt) for _ in range(200)]
    assert len(set(delays)) > 100
    low, high = shortest(monkeypatch, attempt), longest(monkeypatch, attempt)
    assert all(low <= delay <= high for delay in delays)


@pytest.mark.parametrize("attempt", [1, 4])
def test_a_failed_attempt_is_retried_later(attempt: int) -> None:
    result = failure(claim(attempt), RuntimeError("boom"), max_attempts=5)
    assert (result.verdict, result.error) == (Verdict.RETRY, "RuntimeError: boom")
    assert result.delay > 0


@pytest.mark.parametrize(("attempt", "most"), [(5, 5), (6, 5), (1, 1)])
def test_the_last_attempt_fails_the_order(attempt: int, most: int) -> None:
    result = failure(claim(attempt), RuntimeError("boom"), max_attempts=most)
    assert (result.verdict, result.error) == (Verdict.FAIL, "RuntimeError: boom")


def test_a_rejected_order_fails_at_once() -> None:
    result = failure(claim(1), OrderRejected("never"), max_attempts=5)
    assert (result.verdict, result.error) == (Verdict.FAIL, "OrderRejected: never")


def test_a_reason_in_words() -> None:
    result = failure(claim(1), "took too long", max_attempts=5)
    assert (result.verdict, result.error) == (Verdict.RETRY, "took too long")


class Broken(Exception):
    """An exception that breaks in `str()`."""

    def __str__(self) -> str:
        raise RuntimeError("no message for you")


class NoText(Exception):
    """An exception whose `str()` is none."""

    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - the point


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (ValueError(), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (ValueError("é€😀"), "ValueError: é€😀"),
        (ValueError("a\x00b"), "ValueError: a?b"),
        (ValueError("a\ud800b"), "ValueError: a?b"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_an_error_is_described(error: BaseException, text: str) -> None:
    assert describe(error) == text


@pytest.mark.parametrize(
    "error", [Broken(), NoText(), ValueError(b"\xff"), ValueError("\udcff" * 9)]
)
def test_any_error_is_text_that_can_be_stored(error: Exception) -> None:
    text = describe(error)
    assert text.startswith(type(error).__name__)
    assert "\x00" not in text
    assert text.encode("utf-8")
