"""Records the ends of attempts, many in one commit when many come at once."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable

from service.processing.attempt import Attempt, InFlight
from service.processing.order_queue import OrderQueue
from service.storage.claims import ClaimKey
from service.storage.failures import is_unavailable
from service.storage.models import OrderStatus
from service.storage.results import Result, Verdict
from service.telemetry import metrics

log = logging.getLogger(__name__)

LARGEST_BATCH = 500
LONGEST_PAUSE = 1.0

Entry = tuple[Attempt, Result]


class Recorder:
    """A thread that writes results to the database and takes their attempts out of `in_flight`.

    While one batch is being committed the next collects, so a batch waits for nothing but the one
    before. While the database is away it keeps the results and tries again; the fencing token
    keeps a result that comes too late from having an effect.
    """

    def __init__(
        self, orders: OrderQueue, in_flight: InFlight, on_recorded: Callable[[], None]
    ) -> None:
        self._orders = orders
        self._in_flight = in_flight
        self._on_recorded = on_recorded
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._give_up_at = math.inf
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
        pause = 0.05
        while True:
            try:
                recorded = self._orders.record([result for _, result in batch])
            except Exception as error:  # noqa: BLE001 - the thread must live on
                if not is_unavailable(error):
                    self._write_singly(batch, error)
                    return
                log.warning("cannot record %d results: the database is away", len(batch))
                if time.monotonic() + pause > self._give_up_at:
                    return
                time.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                self._finish(batch, recorded)
                return

    def _write_singly(self, batch: list[Entry], error: Exception) -> None:
        if len(batch) > 1:
            for entry in batch:
                self._write([entry])
            return
        attempt, result = batch[0]
        log.error(
            "cannot record a result; the order is taken up again when its lease ends",
            exc_info=error,
            extra={"order_id": result.claim.order_id},
        )
        self._in_flight.remove([attempt])
        self._on_recorded()

    def _finish(self, batch: list[Entry], recorded: set[ClaimKey]) -> None:
        for _, result in batch:
            if result.claim.key in recorded:
                _report(result)
            else:
                _report_lost(result)
        self._in_flight.remove(attempt for attempt, _ in batch)
        self._on_recorded()


def _report(result: Result) -> None:
    extra = {"order_id": result.claim.order_id, "attempt": result.claim.attempt}
    match result.verdict:
        case Verdict.COMPLETE:
            metrics.ORDERS_FINISHED.labels(status=OrderStatus.COMPLETED.value).inc()
            log.debug("order completed", extra=extra)
        case Verdict.FAIL:
            metrics.ORDERS_FINISHED.labels(status=OrderStatus.FAILED.value).inc()
            log.error("order failed: %s", result.error, extra=extra)
        case Verdict.RETRY:
            metrics.ORDERS_RETRIED.inc()
            log.warning(
                "attempt failed, next in %.1f s: %s", result.delay, result.error, extra=extra
            )
        case Verdict.GIVE_BACK:
            log.info("order given back", extra=extra)


def _report_lost(result: Result) -> None:
    metrics.LEASES_LOST.inc()
    log.warning(
        "lease lost: another process has the order, so this attempt counts for nothing",
        extra={"order_id": result.claim.order_id, "attempt": result.claim.attempt},
    )
