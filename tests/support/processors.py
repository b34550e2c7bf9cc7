"""Processors in the tests' own process, with handlers that a test can look into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.processing.handlers import Handler, OrderTask
from service.processing.processor import POOL_SIZE, Processor
from service.storage.outbox import write_events_on
from tests.support.databases import open_database, settings_for

# Seconds: longer than any test, so that a processor looks for orders when it starts and when it is
# woken, and at no other time.
NEVER = 3600.0
SECONDS = 60.0


@contextmanager
def processing(
    url: str,
    handler: Handler,
    *,
    poll_seconds: float = NEVER,
    on_broken: Callable[[], None] = lambda: None,
    **settings: object,
) -> Iterator[Processor]:
    """Run a processor on this database."""
    chosen = settings_for(url, **settings)
    database = open_database(url, POOL_SIZE)
    if chosen.events_url is not None:
        write_events_on(database.engine)
    processor = Processor(database, handler, chosen, on_broken, poll_seconds)
    processor.start()
    try:
        yield processor
    finally:
        processor.stop(SECONDS)
        database.engine.dispose()


class Held:
    """A handler that waits to be let go, or for its result not to be wanted any more.

    `begun` are the orders that it was called with, by attempt, and `cancelled` those of which
    `cancelled()` turned true.
    """

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.cancelled: list[int] = []
        self._let_go = threading.Event()

    def __call__(self, task: OrderTask) -> None:
        """Handle the order."""
        self.begun.append((task.order_id, task.attempt))
        while not self._let_go.wait(0.01):
            if task.cancelled() and task.order_id not in self.cancelled:
                self.cancelled.append(task.order_id)

    def let_go(self) -> None:
        """Let all calls end."""
        self._let_go.set()
