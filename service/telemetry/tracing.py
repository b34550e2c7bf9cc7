"""The trace at hand (https://www.w3.org/TR/trace-context/), and its spans, if they are collected.

A trace is told by its `traceparent`: `00-<trace id>-<span id>-<flags>`, all in hexadecimal digits.
Without `TRACES_URL` there are no spans: `spans` is None, and nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.config import Settings

if TYPE_CHECKING:
    from service.telemetry.spans import Spans

log = logging.getLogger(__name__)

HEADER, ENVIRON_KEY = "traceparent", "HTTP_TRACEPARENT"
# Version 00 only: nobody knows how long that of a later version would be. Zeros are no ids.
_VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

current: ContextVar[str | None] = ContextVar("traceparent", default=None)
spans: Spans | None = None


def accept(given: str) -> str | None:
    """Return what a caller sent as `traceparent`, if it is valid."""
    return given if _VALID.fullmatch(given) else None


def trace_id(traceparent: str) -> str:
    """Return the trace's id, by which its spans and lines of the log are found."""
    return traceparent[3:35]


@contextmanager
def within(traceparent: str) -> Iterator[None]:
    """Have lines of the log name this trace."""
    token = current.set(traceparent)
    try:
        yield
    finally:
        current.reset(token)


def log_context(traceparent: str | None) -> dict[str, str]:
    """Return what a line of the log that is written outside the trace says of it."""
    return {} if traceparent is None else {"trace_id": trace_id(traceparent)}


@dataclass(slots=True)
class Call:
    """A call to another service: the `traceparent` that it sends, and the status of the answer.

    `status` is None until there is an answer.
    """

    traceparent: str | None
    status: int | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The header fields that tell the trace."""
        return {} if self.traceparent is None else {HEADER: self.traceparent}


@contextmanager
def calling(name: str, traceparent: str | None) -> Iterator[Call]:
    """Give what a call in this trace sends: a span of its own, or the trace as it is."""
    call = Call(traceparent)
    if spans is None:
        yield call
        return
    with spans.call(name, call):
        yield call


def start(settings: Settings) -> None:
    """Begin to send spans, if the settings say where to; in each process, after its fork."""
    global spans  # noqa: PLW0603 - a process has one
    if settings.traces_url is None:
        return
    from service.telemetry.spans import Spans  # noqa: PLC0415 - only where it is wanted

    spans = Spans(settings.traces_url, settings.release)
    log.info("spans are sent to a collector")


def stop() -> None:
    """Send what has ended, for at most `service.telemetry.spans.FLUSH_SECONDS`."""
    global spans
    ended, spans = spans, None
    if ended is not None:
        ended.stop()
