"""The processor: a pool of threads that takes orders from the database and hands them to the
order handler.

One thread claims orders (the dispatcher), as many at once as the workers will soon begin; they run
the handler; the recorder writes the results; the lease keeper keeps the claims alive meanwhile; and
the housekeeper does what is due beside that. No order is known only here: whatever dies, its lease
ends and another process takes it up.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from service.config import Settings
from service.processing.attempt import Attempt, InFlight
from service.processing.capacity import Capacity
from service.processing.clock import DatabaseClock
from service.processing.dispatcher import Dispatcher, WorkQueue, given_back
from service.processing.events.loading import load_deliverer
from service.processing.gate import Gate
from service.processing.handlers import Handler
from service.processing.housekeeper import Housekeeper
from service.processing.leases import LONGEST_WAIT, LeaseKeeper
from service.processing.order_queue import OrderQueue
from service.processing.recorder import Recorder
from service.processing.watchdog import Watchdog
from service.processing.workers import Workers
from service.processing.workload import Workload
from service.storage.claims import ISOLATED_FROM_ATTEMPT
from service.storage.database import Database
from service.storage.results import Result

log = logging.getLogger(__name__)

# An idle processor asks this often, in seconds; orders accepted in this process wake it at once.
POLL_SECONDS = 1.0
# Connections: one for each of the dispatcher, the recorder, the lease keeper, the housekeeper and
# what delivers events.
POOL_SIZE = 5
# What a stop keeps back of its grace to record the last results.
RECORD_SHARE = 0.1


class Processor:
    """Processes orders in this process, from `start` to `stop`.

    Args:
        database: connections of its own, so that a busy web server cannot starve the leases.
        on_broken: called once when so many handlers hang that the process should be replaced.
        watchdog: ends the process when nothing in it runs any more.

    Raises:
        ConfigError: events cannot be delivered by these settings.
    """

    def __init__(
        self,
        database: Database,
        handler: Handler,
        settings: Settings,
        on_broken: Callable[[], None] = lambda: None,
        poll_seconds: float = POLL_SECONDS,
        *,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._threads = settings.processor_threads
        self._orders = OrderQueue(database, settings)
        self._in_flight = InFlight()
        capacity = Capacity(
            self._threads,
            # A process that dies costs each order that it holds an attempt, and only the third
            # is made alone: see `service.storage.claims.claim_orders`.
            may_claim_ahead=settings.most_attempts >= ISOLATED_FROM_ATTEMPT,
        )
        self._workload = Workload(capacity, self._in_flight)
        clock = DatabaseClock(settings.processor_lease_seconds)
        self._housekeeper = Housekeeper(
            database,
            settings,
            clock,
            owner=self._orders.owner,
            slot=self._orders.slot,
            on_due=self.wake,
        )
        self._deliverer = load_deliverer(database, settings, clock, self._orders.owner)
        self._recorder = Recorder(
            self._orders,
            self._in_flight,
            on_recorded=self._notice_recorded,
            on_waiting=self._housekeeper.expect_due,
        )
        work: WorkQueue = queue.SimpleQueue()
        self._gate = Gate(
            self._orders, clock, settings.processor_lease_seconds, self._housekeeper.notice
        )
        self._dispatcher = Dispatcher(
            self._orders,
            clock,
            self._gate,
            self._workload,
            in_flight=self._in_flight,
            recorder=self._recorder,
            work=work,
            threads=self._threads,
            lease_seconds=settings.processor_lease_seconds,
            poll_seconds=poll_seconds,
        )
        self._workers = Workers(
            handler,
            self._workload,
            self._in_flight,
            self._recorder,
            work,
            gate=self._gate,
            name=self._orders.owner,
            threads=self._threads,
            delays=settings.processor_retry_delays,
            handler_timeout=settings.processor_handler_timeout_seconds,
            on_broken=on_broken,
        )
        self._keeper = LeaseKeeper(
            self._orders,
            self._in_flight,
            lease_seconds=settings.processor_lease_seconds,
            handler_timeout=settings.processor_handler_timeout_seconds,
            on_timeout=self._workers.end_hanging,
            on_waiting=self._give_back_delayed,
        )
        self._watchdog = watchdog
        self._stop_lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start all threads."""
        if self._watchdog is not None:
            self._watchdog.start()
        self._workers.start()
        for thread in self._own_threads():
            thread.start()
        log.info("processor started: %d threads as %s", self._threads, self._orders.owner)

    def wake(self) -> None:
        """Look for new orders at once."""
        self._workload.wake()

    def running(self) -> int:
        """Return how many attempts have begun and are not recorded yet."""
        return sum(attempt.started is not None for attempt in self._in_flight.all())

    def problem(self) -> str | None:
        """Say what keeps the processor from working, or None when it lives."""
        if self._workload.stopping:
            return "the processor is stopping"
        if hanging := self._workers.problem():
            return hanging
        for thread in self._own_threads():
            if not thread.is_alive():
                return f"the processor's {thread.name} thread is dead"
        return self._recorder.problem or self._dispatcher.problem

    def stop_claiming(self) -> None:
        """Claim nothing more; what was claimed goes on."""
        self._workload.stop()

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
        self._housekeeper.stop()
        if self._deliverer is not None:
            self._deliverer.stop(grace_seconds - record_seconds)
        self._dispatcher.thread.join(grace_seconds - record_seconds)
        self._dispatcher.give_back_waiting()
        if not self._in_flight.wait_empty(max(0.0, handlers_end - time.monotonic())):
            self._give_back_running()
        self._recorder.stop(record_seconds)
        self._recorder.thread.join(record_seconds)
        self._keeper.stop()
        self._workers.stop()
        self._housekeeper.thread.join(record_seconds)
        if self._deliverer is not None:
            left = max(0.0, handlers_end - time.monotonic())
            self._deliverer.thread.join(left + record_seconds)
        if self._watchdog is not None:
            self._watchdog.stop()
        log.info("processor stopped: %d orders left to their leases", len(self._in_flight))

    def _own_threads(self) -> tuple[threading.Thread, ...]:
        threads = (
            self._recorder.thread,
            self._keeper.thread,
            self._dispatcher.thread,
            self._housekeeper.thread,
        )
        return threads if self._deliverer is None else (*threads, self._deliverer.thread)

    def _notice_recorded(self, results: list[Result]) -> None:
        self._workload.notice_recorded()
        if self._deliverer is not None:
            self._deliverer.wake()
        if any(result.probe or result.absence for result in results):
            self._gate.note_recorded(results)
            self._workload.wake()

    def _give_back_delayed(self, attempt: Attempt) -> None:
        # The handler has become slow: let another process have what waits for a thread here.
        if attempt.end_unless_begun():
            self._recorder.submit(attempt, given_back(attempt, self._orders.owner))
            self._workload.slow_down(LONGEST_WAIT)
            self._workload.release()

    def _give_back_running(self) -> None:
        for attempt in self._in_flight.all():
            attempt.cancel()
            if attempt.end():
                self._recorder.submit(attempt, given_back(attempt, self._orders.owner))
