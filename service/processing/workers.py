"""The threads that run the order handler, and what is done about one that hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from service.processing.attempt import Attempt, InFlight
from service.processing.dispatcher import WorkQueue, given_back
from service.processing.gate import Gate
from service.processing.handlers import Handler
from service.processing.recorder import Recorder
from service.processing.retries import failure
from service.processing.workload import Workload
from service.storage.results import Result, Verdict
from service.telemetry import metrics, tracing

log = logging.getLogger(__name__)


class Workers:
    """Runs the handler for each attempt that is put into `work`, until `stop`.

    Args:
        on_broken: called once when so many handlers hang that the process should be replaced.
    """

    def __init__(
        self,
        handler: Handler,
        workload: Workload,
        in_flight: InFlight,
        recorder: Recorder,
        work: WorkQueue,
        *,
        gate: Gate,
        name: str,
        threads: int,
        delays: Sequence[float],
        handler_timeout: float,
        on_broken: Callable[[], None],
    ) -> None:
        self._handler = handler
        self._workload = workload
        self._in_flight = in_flight
        self._recorder = recorder
        self._work = work
        self._gate = gate
        self._name = name
        self._threads = threads
        self._delays = delays
        self._handler_timeout = handler_timeout
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self._hanging = 0
        self._last_success = 0.0

    def start(self) -> None:
        """Start the threads."""
        for _ in range(self._threads):
            self._start_one()

    def stop(self) -> None:
        """Let the threads end once they have no attempt."""
        for _ in range(self._threads):
            self._work.put(None)

    def problem(self) -> str | None:
        """Say why no thread is left, or None."""
        if self._hanging >= self._threads:
            return f"{self._hanging} order handlers hang"
        return None

    def end_hanging(self, attempt: Attempt) -> None:
        """Give an attempt up whose handler has run for too long."""
        if not attempt.end():
            return
        attempt.cancel()
        error = f"the handler did not end within {self._handler_timeout:g} seconds"
        self._recorder.submit(attempt, self._failure(attempt, error))
        # A thread cannot be stopped from outside, so another one takes its place.
        with self._lock:
            self._hanging += 1
            broken = self._hanging == self._threads
        if broken:
            log.critical("%d order handlers hang: this process gives up", self._hanging)
            self._workload.stop()
            self._on_broken()
            return
        self._start_one()
        self._workload.release()

    def _start_one(self) -> None:
        threading.Thread(target=self._run, name="order-worker", daemon=True).start()

    def _run(self) -> None:
        while (attempt := self._work.get()) is not None:
            if self._gate.is_closed and not attempt.probe:
                self._give_back(attempt)
                continue
            if not attempt.begin():
                self._drop(attempt)
                continue
            result = self._run_handler(attempt)
            if not attempt.end():
                self._retire()
                return
            if result.absence is not None and not result.absence.others_succeed:
                self._gate.note_absence()
            self._recorder.submit(attempt, result)
            self._workload.release(result.seconds)

    def _run_handler(self, attempt: Attempt) -> Result:
        """Run the handler in the order's trace, if it has one."""
        claim = attempt.claim
        trace, spans = claim.traceparent, tracing.spans
        if spans is not None:
            with spans.attempt(trace, attempt.claimed_in, claim.order_id, claim.attempt) as span:
                result = self._call_handler(attempt, span.traceparent)
                span.note_result(result.kind.value, succeeded=result.verdict is Verdict.COMPLETE)
            return result
        if trace is None:
            return self._call_handler(attempt, None)
        with tracing.within(trace):
            return self._call_handler(attempt, trace)

    def _call_handler(self, attempt: Attempt, traceparent: str | None) -> Result:
        try:
            self._handler(attempt.task(traceparent))
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the order's failure
            metrics.HANDLER_SECONDS.observe(attempt.seconds())
            return self._failure(attempt, error)
        seconds = attempt.seconds()
        metrics.HANDLER_SECONDS.observe(seconds)
        self._last_success = time.monotonic()
        return Result(
            attempt.claim,
            Verdict.COMPLETE,
            round(seconds * 1_000_000),
            seconds=seconds,
            worker=self._name,
            probe=attempt.probe,
        )

    def _failure(self, attempt: Attempt, error: BaseException | str) -> Result:
        began = attempt.started
        return failure(
            attempt.claim,
            error,
            self._delays,
            seconds=attempt.seconds(),
            worker=self._name,
            probe=attempt.probe,
            others_succeed=began is not None and self._last_success > began,
        )

    def _give_back(self, attempt: Attempt) -> None:
        if attempt.end_unless_begun():
            self._recorder.submit(attempt, given_back(attempt, self._name))
            self._workload.release()

    def _drop(self, attempt: Attempt) -> None:
        # Its lease ended before the handler began, so the order is everybody's again.
        if attempt.end():
            if attempt.probe:
                self._gate.forget_probe()
            self._in_flight.remove([attempt])
            self._workload.release()

    def _retire(self) -> None:
        # The attempt was ended while its handler hung, and another thread has this one's place.
        with self._lock:
            self._hanging -= 1
