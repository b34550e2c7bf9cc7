"""The thread that claims orders, as many at once as the workers will soon begin."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from contextlib import suppress

from service.processing.attempt import Attempt, InFlight
from service.processing.clock import DatabaseClock
from service.processing.gate import Gate, Permit
from service.processing.order_queue import OrderQueue
from service.processing.recorder import Recorder
from service.processing.workload import Workload
from service.storage.attempts import AttemptResult
from service.storage.claims import ClaimedBatch
from service.storage.failures import describe, is_permanent, is_unavailable
from service.storage.models import OrderStatus
from service.storage.results import Result, Verdict
from service.telemetry import metrics, tracing

log = logging.getLogger(__name__)

# Seconds until a failed claim is tried again, at first and at last.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0

WorkQueue = queue.SimpleQueue[Attempt | None]


class Dispatcher:
    """Claims orders and puts them into `work`, from where the workers take them."""

    def __init__(
        self,
        orders: OrderQueue,
        clock: DatabaseClock,
        gate: Gate,
        workload: Workload,
        *,
        in_flight: InFlight,
        recorder: Recorder,
        work: WorkQueue,
        threads: int,
        lease_seconds: float,
        poll_seconds: float,
    ) -> None:
        self._orders = orders
        self._clock = clock
        self._workload = workload
        self._in_flight = in_flight
        self._recorder = recorder
        self._work = work
        self._threads = threads
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        # What keeps it from claiming until somebody mends it; None when nothing does.
        self.problem: str | None = None
        self.gate = gate
        self.thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def give_back_waiting(self) -> None:
        """Give back what was claimed and has not begun."""
        with suppress(queue.Empty):
            while True:
                attempt = self._work.get_nowait()
                if attempt is not None:
                    self._give_back(attempt)

    def _run(self) -> None:
        pause = 0.0
        while self._workload.await_turn(pause, self._poll_seconds * random.uniform(0.9, 1.1)):  # noqa: S311
            try:
                self._claim()
                pause, self.problem = 0.0, None
            except Exception as error:
                known = is_unavailable(error) or is_permanent(error)
                exc_info = None if known else error
                log.warning("cannot claim orders: %s", describe(error), exc_info=exc_info)
                if not is_unavailable(error):
                    self.problem = f"cannot claim orders: {describe(error)}"
                pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, pause * 2))
                self._workload.wake()

    def _claim(self) -> None:
        limit, woken = self._workload.take_turn()
        seen = self.gate.look()
        if self.gate.is_closed:
            self.give_back_waiting()
        if limit <= 0 or self._recorder.problem is not None:
            return
        if not woken and not seen.claimable:
            return
        permit = self.gate.permit()
        if permit is Permit.ANY:
            self._take(limit, probe=False)
        elif permit is Permit.ONE:
            try:
                self._take(1, probe=True)
            except Exception:
                self.gate.forget_probe()
                raise

    def _take(self, limit: int, *, probe: bool) -> None:
        lease_ends = time.monotonic() + self._lease_seconds
        idle = len(self._in_flight) == 0
        began = time.time_ns()
        batch = self._orders.claim(limit, idle=idle, rule=self._clock.rule())
        _report(batch)
        claimed_in = _note_claim(batch, began)
        if probe and not batch.claims:
            self.gate.leave_probing()
        if batch.claims and time.monotonic() >= lease_ends:
            self._give_back_late(batch, probe=probe)
            return
        found = len(batch.claims) + len(batch.exhausted)
        more = found >= min(limit, self._threads)
        self._workload.taken(len(batch.claims), isolate=batch.isolate, more=more)
        attempts = [
            Attempt(claim, lease_ends, probe=probe, claimed_in=claimed_in) for claim in batch.claims
        ]
        self._in_flight.add(attempts)
        for attempt in attempts:
            self._work.put(attempt)

    def _give_back(self, attempt: Attempt) -> None:
        if attempt.end_unless_begun():
            self._recorder.submit(attempt, given_back(attempt, self._orders.owner))
            self._workload.release()

    def _give_back_late(self, batch: ClaimedBatch, *, probe: bool) -> None:
        # A database that is slow must not use up the attempts that the handler should have.
        log.warning(
            "it took longer than a lease to claim %d orders: they are given back",
            len(batch.claims),
        )
        self._orders.record(
            [
                Result(claim, Verdict.GIVE_BACK, kind=AttemptResult.GIVEN_BACK)
                for claim in batch.claims
            ]
        )
        if probe:
            self.gate.leave_probing()
        self._workload.wake()


def given_back(attempt: Attempt, worker: str) -> Result:
    """Return the result of an attempt that this process does not make, or does not end."""
    return Result(
        attempt.claim,
        Verdict.GIVE_BACK,
        kind=AttemptResult.GIVEN_BACK,
        seconds=attempt.seconds(),
        worker=worker,
        probe=attempt.probe,
    )


def _report(batch: ClaimedBatch) -> None:
    metrics.ORDERS_CLAIMED.inc(len(batch.claims))
    for claim in batch.claims:
        if claim.attempt == 1:
            metrics.START_SECONDS.observe(claim.waited)
    if batch.lost:
        metrics.ATTEMPTS[AttemptResult.LOST].inc(batch.lost)
    for order_id, trace in batch.exhausted.items():
        metrics.ORDERS_FINISHED[OrderStatus.FAILED].inc()
        extra = {"order_id": order_id, **tracing.log_context(trace)}
        log.error("order failed: no attempt left", extra=extra)


def _note_claim(batch: ClaimedBatch, began: int) -> str | None:
    if tracing.spans is None:
        return None
    return tracing.spans.claim((claim.traceparent for claim in batch.claims), began)
