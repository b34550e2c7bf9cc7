"""Logging: JSON lines in production, readable ones in development, each with what it is about."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from service.config import Settings
from service.telemetry import request_id, tracing

STDERR = 2
# Says that the collector does not take spans; and seconds between two lines of it.
SPANS_SENDER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
SELDOM = 60.0
# Keys that a log call may pass as `extra`, in the order in which a line shows them.
CONTEXT_KEYS = (
    *("request_id", "trace_id", "order_id", "attempt", "method", "path", "status", "milliseconds"),
)


class ContextFilter(logging.Filter):
    """Adds the ids of the request and of the trace to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if not hasattr(record, "request_id") and (current := request_id.current.get()):
            record.request_id = current
        if (trace := tracing.current.get()) and not hasattr(record, "trace_id"):
            record.trace_id = tracing.trace_id(trace)
        return True


class ReadableFormatter(logging.Formatter):
    """`time level logger: message key=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as one line, and its traceback, if any, below."""
        text = super().format(record)
        line, separator, rest = text.partition("\n")
        own = record.__dict__
        pairs = [f"{key}={_plain(str(own[key]))}" for key in CONTEXT_KEYS if key in own]
        return " ".join([line, *pairs]) + separator + rest

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Format the first line."""
        record.message = _plain(record.message)
        return super().formatMessage(record)


def _plain(text: str) -> str:
    # A path, or a handler's error, may hold anything, a line's end included.
    return text if text.isprintable() else ascii(text)


class JsonLineFormatter(logging.Formatter):
    """One line of JSON. Each request writes one, so the time is made once a second only."""

    _encode = json.JSONEncoder(default=str).encode

    def __init__(self, release: str) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S%z")
        self._release = release
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        """Format the record, its traceback included."""
        own = record.__dict__
        line = {
            "time": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            "release": self._release,
        }
        line.update((key, own[key]) for key in CONTEXT_KEYS if key in own)
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack_info"] = self.formatStack(record.stack_info)
        return self._encode(line)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Format the record's time."""
        second, text = self._second
        if second != int(record.created):
            second, text = int(record.created), super().formatTime(record, datefmt)
            self._second = (second, text)
        return text


class LineHandler(logging.Handler):
    """Writes each record to a file, by default stderr, at once and without a lock.

    Lines of several threads do not mix, since each is written as a whole; and no thread waits for
    another one's write, as all threads of a busy server would.
    """

    def __init__(self, descriptor: int = STDERR) -> None:
        super().__init__()
        self._descriptor = descriptor

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record, unless it is filtered out."""
        found = self.filter(record)
        if found:
            self.emit(found if isinstance(found, logging.LogRecord) else record)
        return bool(found)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            line = memoryview(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
            while line:
                line = line[os.write(self._descriptor, line) :]
        except Exception:  # noqa: BLE001 - logging's way to say so
            self.handleError(record)


class SlowClientFilter(logging.Filter):
    """Drops gunicorn's traceback for a client that does not finish its request, or does not take
    its answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is about something else."""
        return not (record.exc_info and isinstance(record.exc_info[1], BlockingIOError))


class SeldomFilter(logging.Filter):
    """Lets one record a minute pass."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether none has passed for a minute."""
        if record.created < self._next:
            return False
        self._next = record.created + SELDOM
        return True


def logging_config(settings: Settings) -> dict[str, Any]:
    """Return the `logging.config` dictionary, for this service and for gunicorn's own lines."""
    formatter = "json" if settings.production else "readable"
    quiet = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "context": {"()": ContextFilter},
            "slow_client": {"()": SlowClientFilter},
            "seldom": {"()": SeldomFilter},
        },
        "formatters": {
            "json": {"()": JsonLineFormatter, "release": settings.release},
            "readable": {
                "()": ReadableFormatter,
                "fmt": "%(asctime)s %(levelname)-7s %(name)s: %(message)s",
            },
        },
        "handlers": {
            "stderr": {
                "()": LineHandler,
                "formatter": formatter,
                "filters": ["context"],
            }
        },
        "root": {"level": settings.log_level, "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": {
                "level": settings.log_level,
                "propagate": True,
                "handlers": [],
                "filters": ["slow_client"],
            },
            "gunicorn.access": {"level": "INFO", "propagate": False, "handlers": []},
            "alembic": {"level": "INFO"},
            "asyncio": quiet,
            "sqlalchemy.pool": quiet,
            "urllib3": quiet,
            "opentelemetry": {"level": "CRITICAL"},
            SPANS_SENDER: {"level": "ERROR", "filters": ["seldom"]},
        },
    }
