"""A handler that never releases Python's lock, as a regular expression may, ends its process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.calls import Calls
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.order_handlers import Behaviour
from tests.support.polling import wait_until
from tests.support.service_process import Server, Worker

pytestmark = pytest.mark.slow

SECONDS = 30.0
HANDLER_TIMEOUT = 1
# What a handler may take beyond its time-out, and what a busy machine adds.
PATIENCE, MARGIN = 5, 4


@ONLY_SQLITE
def test_it_costs_two_processes_and_the_order_its_two_attempts(
    tmp_path: Path, url: str, store: Store
) -> None:
    calls = Calls(tmp_path)
    environment = calls.environment | {
        "PROCESSOR_LEASE_SECONDS": 1,
        "PROCESSOR_HANDLER_TIMEOUT_SECONDS": HANDLER_TIMEOUT,
        "PROCESSOR_RETRY_DELAYS": "0.1s",
    }

    def attempt(number: int) -> int:
        """Return the process that the attempt holds up, once it has begun."""
        wait_until(lambda: number in calls.attempts_at(1), SECONDS, f"attempt {number}")
        [call] = [call for call in calls.all() if call.attempt == number]
        return call.pid

    def assert_in_time(began: float) -> None:
        assert HANDLER_TIMEOUT < time.monotonic() - began < HANDLER_TIMEOUT + PATIENCE + MARGIN

    with (
        Server(tmp_path, url, **environment) as server,
        Worker(tmp_path, url, **environment) as worker,
    ):
        server.start()
        store.add_orders([1], user_id=Behaviour.HOLDS_LOCK)
        held, held_since = attempt(1), time.monotonic()
        assert [held] == server.workers()
        # It renews no lease, so the other process takes the order up.
        worker.start()
        assert attempt(2) == worker.popen.pid
        began = time.monotonic()
        store.add_orders(range(2, 22))
        wait_until(lambda: held not in server.workers(), SECONDS, "the end of the server's process")
        assert_in_time(held_since)
        assert worker.popen.wait(SECONDS) == 1
        assert_in_time(began)
        for process in (server, worker):
            assert "order_handlers.py" in process.log, "nobody learns which handler it was"
        # As whoever runs it does.
        worker.start()
        wait_until(lambda: worker.log.count("processor started") == 2, SECONDS, "its next start")
        store.wait_finished(SECONDS)
        assert (server.stop(), worker.stop()) == (0, 0)
    assert store.statuses() == {1: "Failed"} | dict.fromkeys(range(2, 22), "Completed")
    assert store.order(1).attempts == 2
    assert "worker died" in str(store.order(1).last_error)
    assert calls.attempts_at(1) == [1, 2]
