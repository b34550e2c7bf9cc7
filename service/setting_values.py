"""What the values of settings look like: parsers, which raise ValueError with what is allowed."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from urllib.parse import urlsplit

DEFAULT_HANDLER = "service.processing.handlers:simulate"
WEBHOOK_HANDLER = "service.processing.handlers:webhook"
HANDLER_ALIASES = {"simulate": DEFAULT_HANDLER, "webhook": WEBHOOK_HANDLER}


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a parser of one of these words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not allowed; expected one of {', '.join(allowed)}")
        return text

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of an integer within these bounds."""

    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", text) is None or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not allowed; expected an integer from {low} to {high}")
        return int(text)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of seconds within these bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"{text!r} is not allowed; expected seconds from {low} to {high}")
        return value

    return parse


DELAY_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MOST_DELAYS, LONGEST_DELAY = 1000, 30 * 86400.0


def parse_delays(text: str) -> tuple[float, ...]:
    """Return the seconds of delays like `1s,30s,2m,5h`; none for `none`.

    Raises:
        ValueError: it is no such list.
    """
    if text == "none":
        return ()
    delays = []
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)", part.strip())
        seconds = float(found[1]) * DELAY_UNITS[found[2]] if found else math.inf
        if seconds > LONGEST_DELAY:
            raise ValueError(
                f"{part.strip()!r} is not allowed; expected delays like 1s,30s,2m,5h, each of at"
                " most 30d, or none"
            )
        delays.append(seconds)
    if len(delays) > MOST_DELAYS:
        raise ValueError(f"{len(delays)} delays are too many; expected at most {MOST_DELAYS}")
    return tuple(delays)


def webhook_secret(text: str) -> str:
    """Return the text; behind `whsec_` there has to be base64 (Standard Webhooks 1.0)."""
    if text.startswith("whsec_"):
        encoded = text.removeprefix("whsec_")
        padded = encoded + "=" * (-len(encoded) % 4)
        try:
            key = base64.b64decode(padded, validate=True)
        except ValueError:
            key = b""
        if not key:
            raise ValueError("no base64 follows whsec_; expected that, or another text")
    return text


def username(text: str) -> str:
    """Return the text, unless HTTP Basic cannot carry it."""
    # HTTP Basic separates the name from the password at the first colon (RFC 7617).
    if ":" in text:
        raise ValueError("a user name cannot hold ':'; expected one without")
    return text


def handler(text: str) -> str:
    """Return the handler `module:callable` that the text names."""
    name = HANDLER_ALIASES.get(text, text)
    if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name) is None:
        names = ", ".join(HANDLER_ALIASES)
        raise ValueError(f"{text!r} is not a handler; expected module:callable or one of {names}")
    return name


def http_url(text: str) -> str:
    """Return the text, if it is an HTTP address."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("not an HTTP address; expected https://host/path or http://host/path")
    return text
