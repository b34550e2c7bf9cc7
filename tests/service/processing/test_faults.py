"""Faults under load: what was answered with 201 is completed, once, whatever dies or hangs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.load import Load
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.service_process import Server

pytestmark = pytest.mark.slow

SECONDS = 60.0
MOST_KILLS = 8
CLIENTS = 24
# What is promised, in seconds.
LONGEST_ANSWER = 10.0


def start_server(directory: Path, url: str) -> Server:
    return Server(
        directory,
        url,
        WEB_CONCURRENCY=2,
        PROCESSOR_LEASE_SECONDS=2,
        SIMULATE_MAX_MILLISECONDS=100,
    ).start()


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    with start_server(tmp_path, url) as started:
        yield started


def check(load: Load, server: Server, store: Store) -> None:
    assert load.problems == []
    assert set(load.statuses) <= {201, 503, "no answer"}
    # For leases to end and for every abandoned order to run, some of them alone.
    store.wait_finished(2 * SECONDS)
    store.assert_all_completed_once(load.accepted)
    figures = server.client.get("/metrics").json()
    assert figures["total_orders"] == figures["completed_orders"] == len(store.statuses())


def test_the_whole_process_group_is_killed(server: Server, store: Store) -> None:
    with Load(server.client) as load:
        for kills in range(1, MOST_KILLS + 1):
            load.wait_for_more(100, SECONDS)
            server.kill9_group()
            server.start()
            # On a busy machine a kill may find none at work.
            if kills > 1 and max(store.attempts()) > 1:
                break
        load.wait_for_more(100, SECONDS)
    check(load, server, store)
    assert max(store.attempts()) > 1, "no order was interrupted, so this test has shown nothing"


@ONLY_MYSQL
def test_single_workers_are_killed_while_others_go_on(server: Server, store: Store) -> None:
    with Load(server.client) as load:
        for _ in range(3):
            load.wait_for_more(100, SECONDS)
            wait_until(lambda: len(server.workers()) == 2, SECONDS, "two workers")
            os.kill(random.choice(server.workers()), signal.SIGKILL)
        load.wait_for_more(100, SECONDS)
    check(load, server, store)
    assert max(store.attempts()) > 1, "no order was interrupted, so this test has shown nothing"


@ONLY_SQLITE
def test_a_server_that_is_stopped_answers_or_stores_nothing(server: Server, store: Store) -> None:
    with Load(server.client, threads=CLIENTS) as load:
        load.wait_for_more(200, SECONDS)
        assert server.stop() == 0
        # They go on to post: to the same service, started anew.
        server.start()
        load.wait_for_more(50, SECONDS)
    check(load, server, store)
    assert "Traceback" not in server.log


@pytest.fixture
def load(server: Server, store: Store) -> Iterator[Load]:
    """Clients at work; at the end of the fault they are served again, and nothing is lost."""
    with Load(server.client, threads=CLIENTS) as clients:
        clients.wait_for_more(100, SECONDS)
        yield clients
        clients.wait_for_more(100, SECONDS)
    check(clients, server, store)
    assert "Traceback" not in server.log


def wait_for_503(load: Load, number: int) -> None:
    before = load.statuses[503]
    wait_until(lambda: load.statuses[503] >= before + number, SECONDS, "503 instead of 201")


def assert_not_ready(server: Server) -> None:
    assert server.client.get("/ping").status == 200
    not_ready = server.client.get("/readyz")
    assert (not_ready.status, "database" in not_ready.json()["problems"]) == (503, True)


@ONLY_MYSQL
@pytest.mark.parametrize("end", [MySQLServer.kill9, MySQLServer.stop], ids=["kill -9", "stop"])
def test_mysql_is_away_for_a_while(
    server: Server, load: Load, mysql_server: MySQLServer, end: Callable[[MySQLServer], None]
) -> None:
    try:
        end(mysql_server)
        wait_for_503(load, 20)
        assert_not_ready(server)
    finally:
        mysql_server.start_again()


@ONLY_MYSQL
def test_a_frozen_mysql_is_answered_with_503_and_never_with_a_hang(
    server: Server, load: Load, mysql_server: MySQLServer
) -> None:
    mysql_server.pause()
    try:
        # Twice each: the first time on a connection that hangs, the second time on none.
        enough = load.statuses[503] + 2 * CLIENTS
        wait_for_503(load, 1)
        while load.statuses[503] < enough:
            for path, status in (("/ping", 200), ("/healthz", 200), ("/readyz", 503)):
                started = time.monotonic()
                assert server.client.get(path).status == status
                assert time.monotonic() - started < LONGEST_ANSWER
            time.sleep(0.1)
    finally:
        mysql_server.unpause()
    assert load.statuses["no answer"] == 0
