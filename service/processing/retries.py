"""What follows from an attempt that did not complete its order."""

from __future__ import annotations

import random
from collections.abc import Sequence

from service.processing.handlers import OrderRejected, ReceiverAway
from service.storage.attempts import AttemptResult
from service.storage.claims import Claim
from service.storage.results import Absence, Result, Verdict

# The share of a delay by which it is longer or shorter, so that orders which failed together do not
# come back together.
JITTER = 0.2


def failure(
    claim: Claim,
    error: BaseException | str,
    delays: Sequence[float],
    *,
    seconds: float,
    worker: str,
    probe: bool = False,
    others_succeed: bool = False,
) -> Result:
    """Return the result of an attempt that took so many seconds and failed with this error.

    `delays` are those of the settings: after the last one there is no further attempt. An error
    that is a text means that the attempt took too long. For the others see
    `service.storage.results.Result` and `Absence`.
    """
    kind = _kind(error)
    verdict, delay = _next(claim, error, delays)
    absence = None
    if isinstance(error, ReceiverAway):
        absence = Absence(error.seconds, others_succeed, verdict, delay)
        verdict, delay = Verdict.PUT_ASIDE, 0.0
    return Result(
        claim,
        verdict,
        error=error if isinstance(error, str) else describe(error),
        delay=delay,
        kind=kind,
        seconds=seconds,
        worker=worker,
        probe=probe,
        absence=absence,
    )


def _kind(error: BaseException | str) -> AttemptResult:
    match error:
        case str():
            return AttemptResult.TIMED_OUT
        case OrderRejected():
            return AttemptResult.REJECTED
        case ReceiverAway():
            return AttemptResult.RECEIVER_AWAY
        case _:
            return AttemptResult.FAILED


def _next(
    claim: Claim, error: BaseException | str, delays: Sequence[float]
) -> tuple[Verdict, float]:
    if isinstance(error, OrderRejected) or claim.attempt > len(delays):
        return Verdict.FAIL, 0.0
    return Verdict.RETRY, retry_delay(delays[claim.attempt - 1])


def retry_delay(seconds: float) -> float:
    """Return the delay, jittered."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret


def describe(error: BaseException) -> str:
    """Return the error's type and message, as text that every database can store.

    Its lines end with a line feed, as in a filter: what a browser's form sends has no other ends.
    """
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a handler's exception may break even in __str__
        message = "(its message could not be read)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    text = text.encode("utf-8", "replace").decode().replace("\x00", "?")
    return text.replace("\r\n", "\n").replace("\r", "\n")
