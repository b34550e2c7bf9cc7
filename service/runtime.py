"""What an application is made of: its settings, its database, and its processor, if it has one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from flask import Flask, current_app, has_request_context, request
from prometheus_client import Gauge
from sqlalchemy import Connection

from service.accepting.acceptor import Acceptor
from service.clients import Clients
from service.config import Settings
from service.processing.handlers.loading import load_handler
from service.processing.processor import Processor
from service.processing.watchdog import PATIENCE, Watchdog
from service.storage.database import LATEST_STATEMENT, Database, in_time, refuse_after
from service.storage.places import Places
from service.telemetry import metrics
from service.telemetry.sampler import start_sampler

T = TypeVar("T")

# A server that waits GRACEFUL_TIMEOUT_SECONDS and then kills must find the processor done.
STOP_SHARE = 0.8
EXTENSION = "order_service"
DATABASE_SINCE = "order_service.database_since"


@dataclass(slots=True)
class Runtime:
    """The parts of one application.

    `processing_database` has connections of its own, so that a busy web server cannot starve the
    leases. `serving` says that a server has started the application, `processor` is set while one
    runs here, and `sampling` ends the look at what the process has.
    """

    settings: Settings
    database: Database
    processing_database: Database
    places: Places
    acceptor: Acceptor
    clients: Clients
    serving: bool = False
    processor: Processor | None = None
    sampling: threading.Event | None = None

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which executes one statement for a request, and return what it returned.

        Raises:
            Overloaded: too many requests wait for the database, or it is too slow for this one.
        """
        with self.places.take():
            refuse_after(_first_use(), LATEST_STATEMENT)
            return self.database.statement(work)

    def read_several(self, work: Callable[[Connection], T]) -> T:
        """Do what `read` does, for work that executes several statements."""
        return self.read(in_time(work, _first_use()))

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` for a request, in one transaction, and return what it returned.

        Raises:
            Overloaded: too many requests wait for the database, or it is too slow for this one.
        """
        with self.places.take():
            return self.database.transaction(in_time(work, _first_use()))

    def start_processor(self, on_broken: Callable[[], None]) -> None:
        """Start processing in this process, unless the settings turn it off.

        Raises:
            ConfigError: there is no such order handler.
        """
        self.serving = True
        self.sampling = start_sampler(self._readings())
        if not self.settings.processor_threads:
            return
        handler = load_handler(self.settings)
        longest = self.settings.processor_handler_timeout_seconds + PATIENCE
        self.processor = Processor(
            self.processing_database,
            handler,
            self.settings,
            on_broken,
            watchdog=Watchdog(longest),
        )
        self.processor.start()

    def _readings(self) -> dict[Gauge, Callable[[], float]]:
        requests, processing = self.database, self.processing_database
        return {
            metrics.HANDLERS_RUNNING: lambda: self.processor.running() if self.processor else 0,
            metrics.PROCESSOR_THREADS: lambda: self.settings.processor_threads,
            metrics.CONNECTIONS[metrics.REQUESTS]: requests.connections_in_use,
            metrics.CONNECTIONS[metrics.PROCESSING]: processing.connections_in_use,
            metrics.CONNECTIONS_MOST[metrics.REQUESTS]: requests.most_connections,
            metrics.CONNECTIONS_MOST[metrics.PROCESSING]: processing.most_connections,
        }

    def stop_processor(self) -> None:
        """Stop processing within the grace of the settings; nothing to do where none runs."""
        if self.processor is not None:
            self.processor.stop(self.settings.graceful_timeout_seconds * STOP_SHARE)
        if self.sampling is not None:
            self.sampling.set()

    def wake_processor(self) -> None:
        """Let the processor of this process, if there is one, look for new orders at once."""
        if self.processor is not None:
            self.processor.wake()


def _first_use() -> float:
    """Return when the request at hand began to use the database, by `time.monotonic`."""
    now = time.monotonic()
    # Not in `g`, which requests within one application context have in common.
    return float(request.environ.setdefault(DATABASE_SINCE, now)) if has_request_context() else now


def runtime(app: Flask | None = None) -> Runtime:
    """Return the runtime of the application, by default of the current one."""
    return cast("Runtime", (app or current_app).extensions[EXTENSION])
