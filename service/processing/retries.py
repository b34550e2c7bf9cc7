"""What follows from a failed attempt."""

from __future__ import annotations

import random

from service.processing.handlers import OrderRejected
from service.storage.claims import Claim
from service.storage.results import Result, Verdict

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0


def retry_delay(attempt: int) -> float:
    """Return the seconds to wait after this attempt: doubled each time, and jittered.

    "Equal jitter": half of the delay is fixed and half is random, so that orders which failed
    together do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 30))
    return random.uniform(delay / 2, delay)  # noqa: S311 - not a secret


def failure(claim: Claim, error: BaseException | str, max_attempts: int) -> Result:
    """Return the result of an attempt that failed with this error."""
    text = error if isinstance(error, str) else describe(error)
    if isinstance(error, OrderRejected) or claim.attempt >= max_attempts:
        return Result(claim, Verdict.FAIL, error=text)
    return Result(claim, Verdict.RETRY, error=text, delay=retry_delay(claim.attempt))


def describe(error: BaseException) -> str:
    """Return the error's type and message, as text that every database can store."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a handler's exception may break even in __str__
        message = "(its message could not be read)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text.encode("utf-8", "replace").decode().replace("\x00", "?")
