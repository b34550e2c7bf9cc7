"""Waiting without sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], seconds: float, what: str = "the condition", every: float = 0.02
) -> T:
    """Return the first true result of `condition`; fail when none comes within the seconds."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{what}: not within {seconds:g} s; the last result was {result!r}"
            )
        time.sleep(every)
