"""The id of the request at hand, which its answer and each of its log lines carry."""

from __future__ import annotations

import random
import re
from contextvars import ContextVar

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

current: ContextVar[str | None] = ContextVar("request_id", default=None)


def choose(proposed: str | None) -> str:
    """Return the caller's id if it is sane, else a new one."""
    if proposed is not None and _SANE.fullmatch(proposed):
        return proposed
    return f"{random.getrandbits(128):032x}"
