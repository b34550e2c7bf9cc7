"""The processor's side: how fast a queue of work that does nothing is burned down."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench.bench import Bench
from bench.celery_queue import CeleryQueue
from bench.database import SERVICE_BIN, OrderDatabase
from bench.load import Sample
from bench.measurements import (
    BESIDE_WAITING,
    DEADLOCK_ERRORS,
    DEADLOCKS,
    TASKS,
    WAITING,
    Case,
    Measure,
    interleave,
)
from bench.profile import record_processing_profile
from bench.servers import service_environment
from tests.support.polling import wait_until
from tests.support.service_process import Process

PROCESSES = (1, 4)
# The clock starts when this share is done, so that starting the programs does not count.
STARTED = 0.05
LONGEST_SECONDS = 600.0
POLL_SECONDS = 0.02


def run(bench: Bench) -> None:
    """Burn down the queue with the service and with Celery, by one process and by four."""
    tasks = bench.options.tasks
    database = bench.database()
    bench.results.counts |= {TASKS: tasks, DEADLOCKS: 0, DEADLOCK_ERRORS: 0}
    with CeleryQueue(bench.directory, tasks) as celery:
        measures: list[tuple[Case, Measure]] = []
        for number in PROCESSES:
            own, peer = (
                Case("processing", name, processes=number) for name in ("service", "celery")
            )
            measures.append((own, partial(_service, bench, database, number)))
            measures.append((peer, partial(_celery, celery, tasks, number)))
        waits = Case(BESIDE_WAITING, "service", stored=WAITING, processes=1)
        measures.append((waits, partial(_service, bench, database, 1, WAITING)))
        interleave(bench.results, measures, bench.options.processing_rounds)
    if bench.options.profile:
        database.fill(pending=tasks)
        with _processor(bench, database).start() as process:
            wait_until(
                lambda: database.completed() >= STARTED * tasks, LONGEST_SECONDS, "the first orders"
            )
            record_processing_profile(bench, process)


def _processor(bench: Bench, database: OrderDatabase) -> Process:
    environment = service_environment(database, bench.credentials)
    return Process([str(SERVICE_BIN / "flask"), "process-orders"], bench.directory, environment)


def _service(bench: Bench, database: OrderDatabase, number: int, waiting: int = 0) -> Sample:
    database.fill(pending=bench.options.tasks, waiting=waiting)
    before = _deadlocks(database)
    with ExitStack() as stack:
        completed = stack.enter_context(database.counting())
        processes = [
            stack.enter_context(_processor(bench, database).start()) for _ in range(number)
        ]
        sample = burn_down(completed, bench.options.tasks, processes)
        for process in processes:
            process.stop()
    bench.results.counts[DEADLOCKS] += _deadlocks(database) - before
    bench.results.counts[DEADLOCK_ERRORS] += sum(
        process.log.lower().count("deadlock") for process in processes
    )
    return sample


def _celery(celery: CeleryQueue, tasks: int, number: int) -> Sample:
    celery.refill()
    with celery.worker(number).start() as worker:
        return burn_down(celery.finished, tasks, [worker])


def _deadlocks(database: OrderDatabase) -> int:
    counter = "SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"
    return int(str(database.query(counter)[0][0]))


def burn_down(finished: Callable[[], int], tasks: int, processes: list[Process]) -> Sample:
    """Measure from the first few finished ones to the last.

    Raises:
        AssertionError: a process ended, or not all is finished in time.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    first: tuple[float, int] | None = None
    while True:
        done, now = finished(), time.monotonic()
        if first is None and done >= STARTED * tasks:
            first = (now, done)
        if first is not None and done >= tasks:
            return Sample(rate=(tasks - first[1]) / (now - first[0]), requests=tasks)
        ended = [process for process in processes if process.popen.poll() is not None]
        if ended or now > deadline:
            log = (ended or processes)[0].log[-3000:]
            raise AssertionError(f"only {done} of {tasks} are finished:\n{log}")
        time.sleep(POLL_SECONDS)
