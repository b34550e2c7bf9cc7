"""kill -9 under load: what was answered with 201 is completed, once, whatever dies."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.inspection import Store, open_store
from tests.support.load import Load
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.service_process import Server

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2
# Enough for leases to end and for every abandoned order to run, some of them alone.
PROCESSING_SECONDS = 60
# Seconds for any answer while the database is frozen: a statement's time-out, and waiting for one.
LONGEST_ANSWER = 9


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    with start_server(tmp_path, url) as started:
        yield started


def start_server(directory: Path, url: str) -> Server:
    return Server(
        directory,
        url,
        WEB_CONCURRENCY=2,
        PROCESSOR_LEASE_SECONDS=LEASE_SECONDS,
        SIMULATE_MAX_MILLISECONDS=100,
    ).start()


def check(load: Load, server: Server, store: Store) -> None:
    assert load.problems == []
    assert set(load.statuses) <= {201, 503, "no answer"}
    store.wait_finished(PROCESSING_SECONDS)
    store.assert_all_completed_once(load.accepted)
    figures = server.client.get("/metrics").json()
    assert figures["total_orders"] == figures["completed_orders"] == len(store.statuses())


def test_the_whole_process_group_is_killed_three_times(server: Server, store: Store) -> None:
    with Load(server.client) as load:
        for _ in range(3):
            load.wait_for_more(100)
            server.kill9_group()
            server.start()
        load.wait_for_more(100)
    check(load, server, store)
    assert max(store.attempts()) > 1, "no order was interrupted, so this test has shown nothing"


def test_single_workers_are_killed_while_others_go_on(server: Server, store: Store) -> None:
    with Load(server.client) as load:
        for _ in range(3):
            load.wait_for_more(100)
            workers = wait_until(
                lambda: (pids := server.workers()) and len(pids) == 2 and pids, 10, "two workers"
            )
            os.kill(random.choice(workers), signal.SIGKILL)
        load.wait_for_more(100)
    check(load, server, store)
    assert max(store.attempts()) > 1, "no order was interrupted, so this test has shown nothing"


@pytest.mark.mysql
def test_mysql_is_killed_and_started_again(tmp_path: Path) -> None:
    with MySQLServer.start() as mysql:
        url = mysql.url(mysql.create_database())
        databases.migrate(url)
        with start_server(tmp_path, url) as server, Load(server.client) as load:
            load.wait_for_more(200)
            mysql.kill9()
            wait_until(lambda: load.statuses[503] > 20, 20, "503 while the database is away")
            assert server.client.get("/ping").status == 200
            not_ready = server.client.get("/readyz")
            assert (not_ready.status, "database" in not_ready.json()["problems"]) == (503, True)
            mysql.start_again()
            load.wait_for_more(200)
            load.stop()
            with open_store(url) as store:
                check(load, server, store)
            assert "Traceback" not in server.log


@pytest.mark.mysql
def test_a_frozen_mysql_is_answered_with_503_and_never_with_a_hang(tmp_path: Path) -> None:
    with MySQLServer.start() as mysql:
        url = mysql.url(mysql.create_database())
        databases.migrate(url)
        with start_server(tmp_path, url) as server, Load(server.client, threads=40) as load:
            load.wait_for_more(200)
            mysql.pause()
            wait_until(lambda: load.statuses[503] > 100, 20, "503 while the database is frozen")
            # For longer than it takes until connections have to be made anew.
            frozen_until = time.monotonic() + 12
            while time.monotonic() < frozen_until:
                for path, status in (("/ping", 200), ("/healthz", 200), ("/readyz", 503)):
                    started = time.monotonic()
                    assert server.client.get(path).status == status
                    assert time.monotonic() - started < LONGEST_ANSWER
                time.sleep(0.2)
            mysql.unpause()
            load.wait_for_more(200)
            load.stop()
            with open_store(url) as store:
                check(load, server, store)
