"""What follows from a failed attempt: when the next one is, and what is said about it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from service.processing.handlers import OrderRejected, ReceiverAway
from service.processing.retries import describe, failure, retry_delay
from service.storage.attempts import AttemptResult
from service.storage.claims import Claim
from service.storage.results import Result, Verdict

DELAYS = (1.0, 30.0, 7200.0)
# Whose bounds a delay has; jittered by up to 20 %.
BOUNDS = {1: (0.8, 1.2), 2: (24.0, 36.0), 3: (5760.0, 8640.0)}


def claim(attempt: int) -> Claim:
    moment = datetime(2026, 1, 1)  # noqa: DTZ001 - naive UTC, as in the database
    return Claim(1, 1, attempt, 1, 1, [1], Decimal(1), moment)


def after(attempt: int, error: BaseException | str, **known: bool) -> Result:
    """Return the result of this attempt of 2.5 s, with `DELAYS`."""
    return failure(claim(attempt), error, DELAYS, seconds=2.5, worker="me", **known)


def test_delays_are_jittered_by_up_to_20_percent() -> None:
    delays = [retry_delay(100.0) for _ in range(500)]
    assert all(80 <= delay <= 120 for delay in delays)
    assert len(set(delays)) > 400
    # No bound is out of reach: 20 of 500 are expected beyond each.
    assert min(delays) < 84
    assert max(delays) > 116


@pytest.mark.parametrize("attempt", BOUNDS)
def test_each_attempt_is_followed_by_the_delay_of_its_number(attempt: int) -> None:
    low, high = BOUNDS[attempt]
    result = after(attempt, RuntimeError("boom"))
    assert (result.verdict, result.error) == (Verdict.RETRY, "RuntimeError: boom")
    assert low <= result.delay <= high
    assert result.kind is AttemptResult.FAILED


# More than there are delays: the settings have changed since.
@pytest.mark.parametrize("attempt", [4, 5])
@pytest.mark.parametrize("error", [RuntimeError("boom"), "took too long"], ids=str)
def test_after_the_last_delay_the_order_fails(attempt: int, error: BaseException | str) -> None:
    assert after(attempt, error).verdict is Verdict.FAIL


def test_without_delays_the_first_attempt_is_the_last() -> None:
    result = failure(claim(1), RuntimeError("boom"), (), seconds=1, worker="me")
    assert (result.verdict, result.error) == (Verdict.FAIL, "RuntimeError: boom")


def test_a_rejected_order_fails_at_once() -> None:
    result = after(1, OrderRejected("never"))
    assert (result.verdict, result.error) == (Verdict.FAIL, "OrderRejected: never")
    assert result.kind is AttemptResult.REJECTED


def test_a_reason_in_words_is_that_of_a_time_out() -> None:
    result = after(1, "took too long")
    assert (result.verdict, result.error) == (Verdict.RETRY, "took too long")
    assert result.kind is AttemptResult.TIMED_OUT


def test_who_made_the_attempt_and_how_long_it_took_is_kept() -> None:
    result = after(1, RuntimeError("boom"), probe=True)
    assert (result.seconds, result.worker, result.probe) == (2.5, "me", True)
    assert not after(1, RuntimeError("boom")).probe


@pytest.mark.parametrize("attempt", [1, 4])
def test_an_absence_puts_the_order_aside_however_many_attempts_it_had(attempt: int) -> None:
    result = after(attempt, ReceiverAway("closed", retry_after=7))
    assert (result.verdict, result.delay) == (Verdict.PUT_ASIDE, 0)
    assert result.error == "ReceiverAway: closed"
    assert result.kind is AttemptResult.RECEIVER_AWAY
    assert result.absence is not None
    assert result.absence.retry_after == 7
    assert not result.shows_receiver


def test_what_an_absence_means_if_it_is_the_orders_own() -> None:
    absence = after(1, ReceiverAway(), others_succeed=True).absence
    assert absence is not None
    low, high = BOUNDS[1]
    assert absence.others_succeed
    assert absence.verdict is Verdict.RETRY
    assert low <= absence.delay <= high
    last = after(4, ReceiverAway()).absence
    assert last is not None
    assert (last.verdict, last.others_succeed) == (Verdict.FAIL, False)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *((None, 0), (0, 0), (2.5, 2.5), ("3", 3), (10**9, 86_400), (float("inf"), 86_400)),
        *((-1, 0), (float("nan"), 0), ("soon", 0), ([1], 0), (10**400, 0)),
    ],
    ids=lambda value: str(value)[:10],
)
def test_whatever_a_handler_says_is_a_number_of_seconds(said: Any, seconds: float) -> None:
    assert ReceiverAway("away", said).seconds == seconds


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
        (ValueError("a\r\nb\rc\nd"), "ValueError: a\nb\nc\nd"),
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
