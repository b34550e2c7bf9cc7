"""The processor in real processes: sharing, leases, failures and stops."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.calls import Calls
from tests.support.inspection import Store
from tests.support.order_handlers import Behaviour
from tests.support.polling import wait_until
from tests.support.service_process import BIN, REPOSITORY, Server, Worker

pytestmark = pytest.mark.slow


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


@pytest.mark.mysql
def test_four_processes_share_20000_orders(tmp_path: Path, mysql_url: str, calls: Calls) -> None:
    store = Store(mysql_url)
    store.empty()
    store.add_orders(range(1, 20_001))
    workers = [Worker(tmp_path, mysql_url, **calls.environment).start() for _ in range(4)]
    try:
        store.wait_finished(120)
        for worker in workers:
            assert worker.stop() == 0
    finally:
        for worker in workers:
            worker.close()
    store.assert_all_completed_once(set(range(1, 20_001)))
    assert store.attempts() == {1: 20_000}
    handled = [call.order_id for call in calls.all()]
    assert sorted(handled) == list(range(1, 20_001)), "an order was handled twice, or not at all"
    assert len({call.pid for call in calls.all()}) == 4
    for worker in workers:
        assert "ERROR" not in worker.log
        assert "deadlock" not in worker.log.lower()
    store.database.engine.dispose()


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
        wait_until(lambda: len(calls.all()) == 4, 20, "four attempts under way")
        frozen.popen.send_signal(signal.SIGSTOP)
        other.start()
        store.wait_finished(30)
        assert {call.pid for call in calls.all("end")} == {other.popen.pid}
        frozen.popen.send_signal(signal.SIGCONT)
        wait_until(lambda: frozen.log.count("lease lost") == 4, 20, "four leases lost")
        store.assert_all_completed_once({1, 2, 3, 4})
        assert store.attempts() == {2: 4}
        assert {call.token for call in calls.all()} == {f"order-{number}" for number in range(1, 5)}


def test_a_slow_handler_keeps_its_lease(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    environment = calls.environment | {"PROCESSOR_LEASE_SECONDS": 1, "SLOW_SECONDS": 4}
    store.add_orders([1, 2], user_id=Behaviour.SLOW)
    with Worker(tmp_path, url, **environment) as one, Worker(tmp_path, url, **environment) as two:
        one.start()
        two.start()
        store.wait_finished(30)
    assert store.attempts() == {1: 2}
    store.assert_all_completed_once({1, 2})
    assert store.order(1).processing_microseconds >= 4_000_000


def test_a_slow_handler_holds_no_more_orders_than_it_has_threads(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders(range(1, 21), user_id=Behaviour.SLOW)
    environment = calls.environment | {"PROCESSOR_THREADS": 3, "SLOW_SECONDS": 0.2}
    with Worker(tmp_path, url, **environment) as worker:
        worker.start()
        most = 0
        while store.statistics().completed < 20:
            most = max(most, store.statistics().processing)
    # Those whose end is being recorded still count.
    assert 3 <= most <= 6


def test_orders_that_wait_for_a_slow_thread_are_given_to_others(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    environment = calls.environment | {"PROCESSOR_THREADS": 2, "SLOW_SECONDS": 20}
    store.add_orders(range(1, 401), user_id=Behaviour.FINE)
    store.add_orders([1001, 1002], user_id=Behaviour.SLOW)
    store.add_orders(range(2001, 2051), user_id=Behaviour.FINE)
    with Worker(tmp_path, url, **environment) as one, Worker(tmp_path, url, **environment) as two:
        one.start()
        wait_until(
            lambda: {1001, 1002} <= {call.order_id for call in calls.all()}, 20, "two slow orders"
        )
        two.start()
        wait_until(lambda: store.statistics().completed == 450, 15, "the orders behind them")
        assert store.statistics().processing == 2
        one.kill9_group()


def test_a_handler_that_raises_is_retried_with_backoff_then_fails(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders([1], user_id=Behaviour.RAISES)
    store.add_orders([2], user_id=Behaviour.REJECTS)
    store.add_orders([3], user_id=Behaviour.FINE)
    with Worker(tmp_path, url, **calls.environment, PROCESSOR_MAX_ATTEMPTS=3) as worker:
        started = time.monotonic()
        worker.start()
        store.wait_finished(30)
        # At least half of 1 s and of 2 s lie between the three attempts.
        assert time.monotonic() - started >= 1.5
    assert store.statuses() == {1: "Failed", 2: "Failed", 3: "Completed"}
    assert store.order(1).last_error == "RuntimeError: attempt 3 went wrong"
    assert store.order(2).last_error == "OrderRejected: never"
    assert [calls.attempts_at(number) for number in (1, 2, 3)] == [[1, 2, 3], [1], [1]]
    assert store.statistics().failed == 2


def test_an_order_that_kills_its_process_fails_and_takes_no_other_with_it(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    others = set(range(2, 32))
    store.add_orders([1], user_id=Behaviour.KILLS)
    store.add_orders(sorted(others))
    with Server(tmp_path, url, **calls.environment, PROCESSOR_LEASE_SECONDS=1) as server:
        server.start()
        store.wait_finished(60)
        assert server.client.get("/ping").status == 200
    statuses = store.statuses()
    assert statuses.pop(1) == "Failed"
    assert set(statuses.values()) == {"Completed"}
    assert calls.attempts_at(1) == [1, 2, 3, 4, 5]
    assert "worker died" in str(store.order(1).last_error)


def test_a_handler_that_hangs_is_given_up_and_the_others_go_on(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders([1], user_id=Behaviour.HANGS)
    store.add_orders([2, 3, 4])
    with Worker(
        tmp_path,
        url,
        **calls.environment,
        PROCESSOR_THREADS=4,
        PROCESSOR_MAX_ATTEMPTS=2,
        PROCESSOR_HANDLER_TIMEOUT_SECONDS=0.5,
    ) as worker:
        worker.start()
        store.wait_finished(30)
        store.add_orders([5, 6])
        store.wait_finished(30)
    assert store.statuses() == {1: "Failed"} | dict.fromkeys(range(2, 7), "Completed")
    assert "did not end within 0.5 seconds" in str(store.order(1).last_error)
    assert calls.attempts_at(1) == [1, 2]


def test_a_process_whose_handlers_all_hang_gives_up_its_place(
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
        assert worker.popen.wait(20) == 1
        assert "2 order handlers hang" in worker.log


def test_a_failed_order_is_completed_by_a_retry_once_the_handler_is_mended(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders([1], user_id=Behaviour.RAISES_UNTIL_MENDED)
    with Worker(tmp_path, url, **calls.environment, PROCESSOR_MAX_ATTEMPTS=1) as worker:
        worker.start()
        wait_until(lambda: store.statuses() == {1: "Failed"}, 20, "the failure")
        calls.mended.touch()
        retried = subprocess.run(
            [BIN / "flask", "orders", "retry", "1"],
            cwd=REPOSITORY,
            env={"DATABASE_URL": url},
            check=True,
            capture_output=True,
            text=True,
        )
        assert retried.stdout == "Order 1 is Pending again.\n"
        wait_until(lambda: store.statuses() == {1: "Completed"}, 20, "the completion")
    assert (store.statistics().completed, store.statistics().failed) == (1, 0)


def test_sigterm_finishes_what_runs_and_leaves_the_rest(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    store.add_orders(range(1, 9), user_id=Behaviour.SLOW)
    with Server(tmp_path, url, **calls.environment, PROCESSOR_THREADS=2) as server:
        server.start()
        wait_until(lambda: len(calls.all()) >= 2, 10, "two attempts under way")
        assert server.stop() == 0
    ended = {call.order_id for call in calls.all("end")}
    assert len(ended) >= 2
    for number, status in store.statuses().items():
        assert status == ("Completed" if number in ended else "Pending")
    assert store.statistics().processing == 0, "something was not given back"
    assert "Traceback" not in server.log


def test_what_outlasts_the_grace_is_given_back_at_once(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    environment = calls.environment | {"SLOW_SECONDS": 60, "PROCESSOR_LEASE_SECONDS": 600}
    store.add_orders([1, 2], user_id=Behaviour.SLOW)
    with Worker(tmp_path, url, **environment, GRACEFUL_TIMEOUT_SECONDS=2) as worker:
        worker.start()
        wait_until(lambda: len(calls.all()) == 2, 10, "two attempts under way")
        assert worker.stop() == 0
    assert store.statuses() == {1: "Pending", 2: "Pending"}
    with Worker(tmp_path, url, **calls.environment | {"SLOW_SECONDS": 0}) as worker:
        worker.start()
        store.wait_finished(10)
    store.assert_all_completed_once({1, 2})


def test_an_abandoned_order_is_taken_up_within_its_lease_and_five_seconds(
    tmp_path: Path, url: str, store: Store, calls: Calls
) -> None:
    environment = calls.environment | {"PROCESSOR_LEASE_SECONDS": 2, "PROCESSOR_THREADS": 1}
    store.add_orders([1], user_id=Behaviour.SLOW)
    store.add_orders(range(2, 3000))
    with Worker(tmp_path, url, **environment) as dead, Worker(tmp_path, url, **environment) as live:
        dead.start()
        wait_until(lambda: calls.attempts_at(1), 20, "the first attempt")
        live.start()
        dead.kill9_group()
        killed = time.monotonic()
        wait_until(lambda: calls.attempts_at(1) == [1, 2], 20, "the second attempt")
        assert time.monotonic() - killed <= 2 + 5
