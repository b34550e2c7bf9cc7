"""Processors in real processes: how they share orders, die, hang and stop."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.calls import Calls
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.mysql_server import USER, MySQLServer
from tests.support.order_handlers import Behaviour
from tests.support.polling import wait_until
from tests.support.service_process import Server, Worker

pytestmark = pytest.mark.slow

SECONDS = 60.0
LEASE_SECONDS = 2
# How long an idle process waits before it looks for what others have accepted.
LOOK_SECONDS = 1.0
ORDERS = 4_000


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


@ONLY_MYSQL
def test_four_processes_share_the_orders(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    # Work enough that each has some, though it starts seconds after the first.
    environment = calls.environment | {"SLOW_SECONDS": 0.01}
    store.add_orders(range(1, ORDERS + 1), user_id=Behaviour.SLOW)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(tmp_path, url, **environment)) for _ in "1234"]
        for worker in workers:
            worker.start()
        store.wait_finished(2 * SECONDS)
        assert [worker.stop() for worker in workers] == [0] * 4
    store.assert_all_completed_once(set(range(1, ORDERS + 1)))
    assert store.attempts() == {1: ORDERS}
    handled = sorted(call.order_id for call in calls.all())
    assert handled == list(range(1, ORDERS + 1)), "an order was handled twice, or not at all"
    assert len({call.pid for call in calls.all()}) == 4
    for worker in workers:
        assert "ERROR" not in worker.log
        assert "deadlock" not in worker.log.lower()


@ONLY_MYSQL
def test_a_frozen_worker_completes_nothing_that_another_took_over(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    environment = calls.environment | {"PROCESSOR_LEASE_SECONDS": 1, "PROCESSOR_THREADS": 4}
    store.add_orders([1, 2, 3, 4], user_id=Behaviour.SLOW)
    with (
        Worker(tmp_path, url, **environment) as frozen,
        Worker(tmp_path, url, **environment) as other,
    ):
        frozen.start()
        wait_until(lambda: len(calls.all()) == 4, SECONDS, "four attempts under way")
        frozen.popen.send_signal(signal.SIGSTOP)
        other.start()
        store.wait_finished(SECONDS)
        assert {call.pid for call in calls.all("end")} == {other.popen.pid}
        frozen.popen.send_signal(signal.SIGCONT)
        wait_until(lambda: frozen.log.count("lease lost") == 4, SECONDS, "four leases lost")
        store.assert_all_completed_once({1, 2, 3, 4})
        assert {call.token for call in calls.all()} == {f"order-{number}" for number in range(1, 5)}


@ONLY_MYSQL
def test_a_dead_workers_order_is_taken_up_within_its_lease_and_five_seconds(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    environment = calls.environment | {
        "PROCESSOR_LEASE_SECONDS": LEASE_SECONDS,
        "PROCESSOR_THREADS": 1,
    }
    store.add_orders([1], user_id=Behaviour.HANGS)
    with Worker(tmp_path, url, **environment) as dead, Worker(tmp_path, url, **environment) as live:
        dead.start()
        wait_until(lambda: calls.attempts_at(1), SECONDS, "the first attempt")
        live.start()
        wait_until(lambda: "processor started" in live.log, SECONDS, "the other worker")
        store.add_orders(range(2, 2000))
        dead.kill9_group()
        killed = time.monotonic()
        wait_until(lambda: calls.attempts_at(1) == [1, 2], SECONDS, "the second attempt")
        assert time.monotonic() - killed <= LEASE_SECONDS + 5


@ONLY_MYSQL
def test_an_order_that_kills_its_process_fails_and_takes_no_other_with_it(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    others = set(range(2, 32))
    store.add_orders([1], user_id=Behaviour.KILLS)
    store.add_orders(sorted(others))
    environment = calls.environment | {
        "PROCESSOR_LEASE_SECONDS": 1,
        "PROCESSOR_RETRY_DELAYS": "1s,1s",
    }
    with Server(tmp_path, url, **environment) as server:
        server.start()
        store.wait_finished(SECONDS)
        assert server.client.get("/ping").status == 200
    assert store.statuses() == {1: "Failed"} | dict.fromkeys(others, "Completed")
    assert calls.attempts_at(1) == [1, 2, 3]
    assert "worker died" in str(store.order(1).last_error)


@ONLY_SQLITE
def test_a_worker_whose_handlers_all_hang_ends(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders([1, 2], user_id=Behaviour.HANGS)
    with Worker(
        tmp_path,
        url,
        **calls.environment,
        PROCESSOR_THREADS=2,
        PROCESSOR_HANDLER_TIMEOUT_SECONDS=0.3,
        GRACEFUL_TIMEOUT_SECONDS=2,
    ) as worker:
        worker.start()
        assert worker.popen.wait(SECONDS) == 1
        assert "2 order handlers hang" in worker.log


@ONLY_SQLITE
def test_sigterm_finishes_what_runs_and_leaves_the_rest(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders(range(1, 9), user_id=Behaviour.SLOW)
    with Server(tmp_path, url, **calls.environment, PROCESSOR_THREADS=2) as server:
        server.start()
        wait_until(lambda: len(calls.all()) >= 2, SECONDS, "two attempts under way")
        assert server.stop() == 0
    ended = {call.order_id for call in calls.all("end")}
    assert len(ended) >= 2
    assert len(ended) < 8, "all had ended before the signal, so this test has shown nothing"
    for number, status in store.statuses().items():
        assert status == ("Completed" if number in ended else "Pending")
    assert store.statistics().processing == 0, "something was not given back"
    assert "Traceback" not in server.log


@ONLY_MYSQL
def test_an_idle_service_looks_once_a_second_and_asks_nothing_else(
    tmp_path: Path, url: str, mysql_server: MySQLServer
) -> None:
    def asked() -> int:
        [[number]] = mysql_server.query(
            "SELECT SUM(count_star)"
            " FROM performance_schema.events_statements_summary_by_user_by_event_name"
            " WHERE user = %s",
            [USER],
        )
        return int(number)

    def only_looks() -> bool:
        before = asked()
        time.sleep(LOOK_SECONDS)
        return asked() - before <= 3

    looks = 6
    with Server(tmp_path, url, WEB_CONCURRENCY=2) as server:
        server.start()
        wait_until(only_looks, SECONDS, "the end of what is asked at the start")
        before, started = asked(), time.monotonic()
        wait_until(lambda: asked() >= before + looks, SECONDS, f"{looks} queries")
        seconds = time.monotonic() - started
    expected = looks / 2 * LOOK_SECONDS
    assert expected / 2 < seconds < expected * 2
