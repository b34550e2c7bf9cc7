"""Records the ends of attempts, many in one commit when many come at once."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence

from service.processing.attempt import Attempt, InFlight
from service.processing.order_queue import OrderQueue
from service.processing.reports import report
from service.storage.failures import describe, is_permanent, is_unavailable
from service.storage.results import Result

log = logging.getLogger(__name__)

LARGEST_BATCH = 500
# Seconds until results are recorded again, at first and at last.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0

Entry = tuple[Attempt, Result]


class Recorder:
    """A thread that writes results to the database and takes their attempts out of `in_flight`.

    While one batch is being committed the next collects, so a batch waits for nothing but the one
    before. While the database is away, or refuses what it is told, it keeps the results and tries
    again; the fencing token keeps a result that comes too late from having an effect.
    """

    def __init__(
        self,
        orders: OrderQueue,
        in_flight: InFlight,
        *,
        on_recorded: Callable[[list[Result]], None],
        on_waiting: Callable[[float], None],
    ) -> None:
        self._orders = orders
        self._in_flight = in_flight
        # Is told the results that are recorded, or will never be.
        self._on_recorded = on_recorded
        # Is told after how many seconds the first of the orders that wait is due.
        self._on_waiting = on_waiting
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._give_up_at = math.inf
        # Why the database refuses results, until somebody mends it; None when it does not.
        self.problem: str | None = None
        self.thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def submit(self, attempt: Attempt, result: Result) -> None:
        """Hand in an attempt's result; whoever calls has won `attempt.end`."""
        self._entries.put((attempt, result))

    def stop(self, seconds: float) -> None:
        """Let the thread end once all that was handed in is written, or that time has passed."""
        self._give_up_at = time.monotonic() + seconds
        self._entries.put(None)

    def _run(self) -> None:
        while batch := self._next_batch():
            self._write(batch)

    def _next_batch(self) -> list[Entry]:
        entry = self._entries.get()
        batch: list[Entry] = []
        while entry is not None:
            batch.append(entry)
            if len(batch) == LARGEST_BATCH:
                break
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                break
        else:
            # The end of the queue: leave it there for the next call.
            self._entries.put(None)
        return batch

    def _write(self, batch: list[Entry]) -> None:
        pause = FIRST_PAUSE
        while batch:
            try:
                self._record(batch)
                self.problem = None
            except Exception as error:
                if is_unavailable(error):
                    self.problem = None
                    away = "cannot record %d results: the database is away (%s)"
                    log.warning(away, len(batch), describe(error))
                else:
                    # Nothing is claimed until somebody mends it.
                    self.problem = f"cannot record results: {describe(error)}"
                    known = is_permanent(error)
                    log.log(logging.ERROR, self.problem, exc_info=None if known else error)
            if batch and time.monotonic() + pause > self._give_up_at:
                return
            if batch:
                time.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    def _record(self, batch: list[Entry]) -> None:
        """Record the batch, and take out of it what is recorded."""
        try:
            recorded = self._orders.record([result for _, result in batch])
        except Exception as error:
            if is_unavailable(error) or len(batch) == 1:
                raise
            self._record_singly(batch, error)
        else:
            self._finish(batch, recorded)
            batch.clear()

    def _record_singly(self, batch: list[Entry], error: Exception) -> None:
        """Find out whether the database refuses some of the results, or all.

        Some are left to their leases; all are kept, since the database is to blame.
        """
        refused: list[Entry] = []
        some_recorded = False
        for entry in list(batch):
            try:
                recorded = self._orders.record([entry[1]])
            except Exception as one_error:
                if is_unavailable(one_error):
                    raise
                refused.append(entry)
            else:
                self._finish([entry], recorded)
                batch.remove(entry)
                some_recorded = True
        if not some_recorded:
            raise error
        for attempt, result in refused:
            batch.remove((attempt, result))
            log.error(
                "cannot record a result; the order is taken up again when its lease ends",
                exc_info=error,
                extra=result.claim.log_context,
            )
            self._in_flight.remove([attempt])
            self._on_recorded([result])

    def _finish(self, batch: list[Entry], recorded: Sequence[Result | None]) -> None:
        report([result for _, result in batch], recorded)
        self._in_flight.remove(attempt for attempt, _ in batch)
        self._on_recorded([result for _, result in batch])
        delays = [result.delay for result in recorded if result is not None and result.delay]
        if delays:
            self._on_waiting(min(delays))
