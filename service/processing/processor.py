"""The processor: a pool of threads that takes orders from the database and hands them to the
order handler.

One thread claims orders (`_dispatch`), as many at once as the workers will soon begin; they run
the handler; the recorder writes the results; the lease keeper keeps the claims alive meanwhile.
No order is known only here: whatever dies, its lease ends and another process takes it up.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from service.config import Settings
from service.processing.attempt import Attempt, InFlight
from service.processing.capacity import Capacity
from service.processing.handlers import Handler
from service.processing.leases import LONGEST_WAIT, LeaseKeeper
from service.processing.order_queue import OrderQueue
from service.processing.recorder import Recorder
from service.processing.retries import failure
from service.storage.claims import ISOLATED_FROM_ATTEMPT, ClaimedBatch
from service.storage.database import Database
from service.storage.failures import describe, is_unavailable
from service.storage.models import OrderStatus
from service.storage.results import Result, Verdict
from service.telemetry import metrics

log = logging.getLogger(__name__)

# An idle processor asks this often, in seconds; orders accepted in this process wake it at once.
POLL_SECONDS = 1.0
# Connections: one for each of the dispatcher, the recorder and the lease keeper.
POOL_SIZE = 3
# What a stop keeps back of its grace to record the last results.
RECORD_SHARE = 0.1


class Processor:
    """Processes orders in this process, from `start` to `stop`.

    Args:
        database: connections of its own, so that a busy web server cannot starve the leases.
        on_broken: called once when so many handlers hang that the process should be replaced.
    """

    def __init__(
        self,
        database: Database,
        handler: Handler,
        settings: Settings,
        on_broken: Callable[[], None] = lambda: None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._on_broken = on_broken
        self._poll_seconds = poll_seconds
        self._orders = OrderQueue(database, settings)
        self._in_flight = InFlight()
        self._recorder = Recorder(self._orders, self._in_flight, self._notice_change)
        self._keeper = LeaseKeeper(
            self._orders,
            self._in_flight,
            lease_seconds=settings.processor_lease_seconds,
            handler_timeout=settings.processor_handler_timeout_seconds,
            on_timeout=self._end_hanging,
            on_waiting=self._give_back_delayed,
        )
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)
        self._work: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._capacity = Capacity(
            settings.processor_threads,
            # A process that dies costs each order that it holds an attempt, and only the third
            # is made alone: see `service.storage.claims.claim_orders`.
            may_claim_ahead=settings.processor_max_attempts >= ISOLATED_FROM_ATTEMPT,
        )
        self._hanging_workers = 0
        self._woken = True
        self._isolate = False
        self._stopping = False
        self._stop_lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start all threads."""
        for _ in range(self._settings.processor_threads):
            self._start_worker()
        for thread in (self._recorder.thread, self._keeper.thread, self._dispatcher):
            thread.start()
        log.info(
            "processor started: %d threads as %s",
            self._settings.processor_threads,
            self._orders.owner,
        )

    def wake(self) -> None:
        """Look for new orders at once."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def problem(self) -> str | None:
        """Say what keeps the processor from working, or None when it lives."""
        if self._stopping:
            return "the processor is stopping"
        if self._hanging_workers >= self._settings.processor_threads:
            return f"{self._hanging_workers} order handlers hang"
        for thread in (self._dispatcher, self._recorder.thread, self._keeper.thread):
            if not thread.is_alive():
                return f"the processor's {thread.name} thread is dead"
        return None

    def stop_claiming(self) -> None:
        """Claim nothing more; what was claimed goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def stop(self, grace_seconds: float) -> None:
        """Stop claiming, finish what runs within the grace, and give back the rest.

        A second call waits for the first.
        """
        self.stop_claiming()
        with self._stop_lock:
            if not self._stopped:
                self._stop(grace_seconds)
                self._stopped = True

    def _stop(self, grace_seconds: float) -> None:
        record_seconds = grace_seconds * RECORD_SHARE
        handlers_end = time.monotonic() + grace_seconds - record_seconds
        self._dispatcher.join(grace_seconds - record_seconds)
        self._give_back_waiting()
        if not self._in_flight.wait_empty(max(0.0, handlers_end - time.monotonic())):
            self._give_back_running()
        self._recorder.stop(record_seconds)
        self._recorder.thread.join(record_seconds)
        self._keeper.stop()
        for _ in range(self._settings.processor_threads):
            self._work.put(None)
        log.info("processor stopped: %d orders left to their leases", len(self._in_flight))

    # The dispatcher's thread.

    def _dispatch(self) -> None:
        pause = 0.0
        while self._await_turn(pause):
            try:
                self._claim()
                pause = 0.0
            except Exception as error:
                known = is_unavailable(error)
                exc_info = None if known else error
                log.warning("cannot claim orders: %s", describe(error), exc_info=exc_info)
                pause = min(1.0, max(0.05, pause * 2))
                with self._changed:
                    self._woken = True

    def _await_turn(self, pause: float) -> bool:
        """Wait until there is reason and room to claim; False when the processor stops."""
        next_poll = time.monotonic() + self._poll_seconds * random.uniform(0.9, 1.1)  # noqa: S311
        with self._changed:
            if pause:
                self._changed.wait_for(lambda: self._stopping, pause)
            self._changed.wait_for(self._has_room)
            self._changed.wait_for(
                lambda: self._woken or self._stopping, max(0.0, next_poll - time.monotonic())
            )
            return not self._stopping

    def _has_room(self) -> bool:
        if self._stopping:
            return True
        alone = not self._isolate or len(self._in_flight) == 0
        return alone and self._capacity.wants_more()

    def _claim(self) -> None:
        with self._changed:
            limit = self._capacity.room()
            if limit <= 0:  # a handler was slow since `_has_room`
                return
            woken, self._woken = self._woken, False
        if not woken and not self._orders.has_claimable():
            return
        lease_ends = time.monotonic() + self._settings.processor_lease_seconds
        batch = self._orders.claim(limit, idle=len(self._in_flight) == 0)
        self._report(batch)
        if batch.claims and time.monotonic() >= lease_ends:
            self._give_back_late(batch)
            return
        with self._changed:
            self._isolate = batch.isolate
            self._capacity.take(len(batch.claims))
            found = len(batch.claims) + len(batch.exhausted)
            if batch.isolate or found >= min(limit, self._settings.processor_threads):
                self._woken = True  # there may be more
        attempts = [Attempt(claim, lease_ends) for claim in batch.claims]
        self._in_flight.add(attempts)
        for attempt in attempts:
            self._work.put(attempt)

    def _give_back_late(self, batch: ClaimedBatch) -> None:
        # A database that is slow must not use up the attempts that the handler should have.
        log.warning(
            "it took longer than a lease to claim %d orders: they are given back",
            len(batch.claims),
        )
        self._orders.record([Result(claim, Verdict.GIVE_BACK) for claim in batch.claims])
        with self._changed:
            self._woken = True

    @staticmethod
    def _report(batch: ClaimedBatch) -> None:
        metrics.ORDERS_CLAIMED.inc(len(batch.claims))
        for order_id in batch.exhausted:
            metrics.ORDERS_FINISHED.labels(status=OrderStatus.FAILED.value).inc()
            log.error("order failed: no attempt left", extra={"order_id": order_id})

    # The workers' threads.

    def _start_worker(self) -> None:
        threading.Thread(target=self._run_worker, name="order-worker", daemon=True).start()

    def _run_worker(self) -> None:
        while (attempt := self._work.get()) is not None:
            if not attempt.begin():
                self._drop(attempt)
                continue
            result = self._run_handler(attempt)
            if not attempt.end():
                self._retire_worker()
                return
            self._recorder.submit(attempt, result)
            self._release_worker(attempt)

    def _run_handler(self, attempt: Attempt) -> Result:
        claim = attempt.claim
        started = time.monotonic()
        try:
            self._handler(attempt.task())
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the order's failure
            return failure(claim, error, self._settings.processor_max_attempts)
        finally:
            metrics.HANDLER_SECONDS.observe(time.monotonic() - started)
        microseconds = round((time.monotonic() - started) * 1_000_000)
        return Result(claim, Verdict.COMPLETE, microseconds=microseconds)

    def _drop(self, attempt: Attempt) -> None:
        # Its lease ended before the handler began, so the order is everybody's again.
        if attempt.end():
            self._in_flight.remove([attempt])
            self._release_worker()

    def _retire_worker(self) -> None:
        # The attempt was ended while its handler hung, and another thread has this one's place.
        with self._changed:
            self._hanging_workers -= 1

    def _release_worker(self, done: Attempt | None = None) -> None:
        with self._changed:
            if done is not None and done.started is not None:
                self._capacity.observe(time.monotonic() - done.started)
            self._capacity.release()
            if self._capacity.wants_more():
                self._changed.notify()

    def _notice_change(self) -> None:
        if self._isolate:
            with self._changed:
                self._changed.notify()

    # The lease keeper's thread.

    def _end_hanging(self, attempt: Attempt) -> None:
        if not attempt.end():
            return
        attempt.cancel()
        limit = self._settings.processor_handler_timeout_seconds
        error = f"the handler did not end within {limit:g} seconds"
        self._recorder.submit(
            attempt, failure(attempt.claim, error, self._settings.processor_max_attempts)
        )
        # A thread cannot be stopped from outside, so another one takes its place.
        with self._changed:
            self._hanging_workers += 1
            broken = self._hanging_workers == self._settings.processor_threads
        if broken:
            log.critical("%d order handlers hang: this process gives up", self._hanging_workers)
            self.stop_claiming()
            self._on_broken()
            return
        self._start_worker()
        self._release_worker()

    def _give_back_delayed(self, attempt: Attempt) -> None:
        # The handler has become slow: let another process have what waits for a thread here.
        if attempt.end_unless_begun():
            self._recorder.submit(attempt, Result(attempt.claim, Verdict.GIVE_BACK))
            with self._changed:
                self._capacity.observe(LONGEST_WAIT)
            self._release_worker()

    # The thread that calls stop.

    def _give_back_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                attempt = self._work.get_nowait()
                if attempt is not None:
                    self._give_back(attempt)

    def _give_back_running(self) -> None:
        for attempt in self._in_flight.all():
            attempt.cancel()
            self._give_back(attempt)

    def _give_back(self, attempt: Attempt) -> None:
        if attempt.end():
            self._recorder.submit(attempt, Result(attempt.claim, Verdict.GIVE_BACK))
