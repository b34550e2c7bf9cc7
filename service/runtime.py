"""What an application was made of: its settings, its database and its processor, if it has one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from service.accepting.acceptor import Ordering
from service.config import Settings
from service.processing.handlers import load_handler
from service.processing.processor import POOL_SIZE, Processor
from service.storage.database import Database

# A server that waits GRACEFUL_TIMEOUT_SECONDS and then kills must find the processor done.
STOP_SHARE = 0.8
# The least time, in seconds, after which MySQL gives up on a processor that is silent: one that is
# alive asks for orders each second.
SHORTEST_IDLE = 5
EXTENSION = "order_service"


@dataclass(slots=True)
class Runtime:
    """The parts of one application.

    `serving` tells that a server has started it, and `processor` is set while one runs here.
    """

    settings: Settings
    database: Database
    ordering: Ordering
    serving: bool = False
    processor: Processor | None = None

    def start_processor(self, on_broken: Callable[[], None]) -> None:
        """Start processing in this process, unless the settings turn it off.

        Raises:
            ConfigError: there is no such order handler.
        """
        self.serving = True
        if not self.settings.processor_threads:
            return
        handler = load_handler(self.settings)
        # What a processor that hangs has locked is free as soon as what it has claimed.
        idle_timeout = max(SHORTEST_IDLE, math.ceil(self.settings.processor_lease_seconds))
        own = Database.open(self.settings.database_url, POOL_SIZE, idle_timeout)
        self.processor = Processor(own, handler, self.settings, on_broken)
        self.processor.start()

    def stop_processor(self) -> None:
        """Stop processing within the grace of the settings; nothing to do where none runs."""
        if self.processor is not None:
            self.processor.stop(self.settings.graceful_timeout_seconds * STOP_SHARE)

    def wake_processor(self) -> None:
        """Tell the processor of this process, if there is one, that an order has arrived."""
        if self.processor is not None:
            self.processor.wake()


def runtime(app: Flask | None = None) -> Runtime:
    """Return the runtime of the application, by default of the current one."""
    return cast("Runtime", (app or current_app).extensions[EXTENSION])
