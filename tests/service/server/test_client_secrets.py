"""Clients of real processes: each of two workers knows them, and forgets them, without asking the
database for a request; and so does a processor."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from service.storage.clients import Scope
from tests.support.clients import add_client, credentials, revoke
from tests.support.databases import ONLY_MYSQL
from tests.support.inspection import Store
from tests.support.mysql_server import USER, MySQLServer
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import Server, Worker

pytestmark = [pytest.mark.slow, ONLY_MYSQL]

# What is promised, and what a new client may take.
REVOKED_SECONDS, NEW_SECONDS = 30.0, 3.0
REQUESTS = 500
SELECTS = (
    "SELECT count_star FROM performance_schema.events_statements_summary_by_user_by_event_name"
    " WHERE user = %s AND event_name = 'statement/sql/select'"
)


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    """Two workers that do nothing but answer."""
    with Server(tmp_path, url, WEB_CONCURRENCY=2, PROCESSOR_THREADS=0) as server:
        server.start()
        wait_until(lambda: len(server.workers()) == 2, 20, "the second worker")
        yield server


@pytest.fixture
def workers(server: Server) -> Iterator[list[HTTPConnection]]:
    """A connection to each of the two."""
    found: dict[int, HTTPConnection] = {}
    with ExitStack() as stack:

        def connect() -> bool:
            connection = HTTPConnection(HOST, server.port, timeout=20)
            stack.callback(connection.close)
            assert status(connection, "/ping", {}) == 200
            assert isinstance(connection.sock, socket.socket)
            found.setdefault(server.worker_of(connection.sock), connection)
            return len(found) == 2

        wait_until(connect, 20, "a connection to each worker")
        yield list(found.values())


def status(connection: HTTPConnection, path: str, headers: dict[str, str]) -> int:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_every_worker_knows_a_new_client_and_forgets_a_revoked_one(
    store: Store, workers: list[HTTPConnection]
) -> None:
    header = add_client(store, "shop", Scope.ORDERS_READ)
    for worker in workers:
        wait_until(lambda: status(worker, "/orders", header) == 200, NEW_SECONDS, "a new client")  # noqa: B023
        assert status(worker, "/processing", header) == 200
        assert status(worker, "/metrics", header) == 403
    revoke(store, "shop")

    def are_closed() -> bool:
        return [status(worker, "/orders", header) for worker in workers] == [401, 401]

    wait_until(are_closed, REVOKED_SECONDS, "the end of a revoked client on both workers")


def test_to_know_who_calls_costs_no_query(
    store: Store, workers: list[HTTPConnection], mysql_server: MySQLServer
) -> None:
    header = add_client(store, "shop", Scope.ORDERS_READ)
    for worker in workers:
        wait_until(lambda: status(worker, "/nowhere", header) == 404, NEW_SECONDS, "a new client")  # noqa: B023

    def selects() -> int:
        return int(mysql_server.query(SELECTS, [USER])[0][0])

    before, began = selects(), time.monotonic()
    for worker in workers:
        # What is asked for needs no database.
        for headers, expected in ((header, 404), (credentials("shop", "a guess"), 401)):
            assert {status(worker, "/nowhere", headers) for _ in range(REQUESTS)} == {expected}
    seconds = time.monotonic() - began
    # Each worker reads the table every 5 s, and for wrong credentials once a second at most.
    assert selects() - before <= 2 * (seconds * 1.2 + 2), seconds


def test_so_does_a_processor_that_is_watched(tmp_path: Path, url: str, store: Store) -> None:
    port = free_port()
    header = add_client(store, "prometheus", Scope.METRICS_READ)
    with Worker(tmp_path, url, METRICS_PORT=port) as worker:
        worker.start()

        def told() -> int | None:
            connection = HTTPConnection(HOST, port, timeout=20)
            try:
                return status(connection, "/metrics", header)
            except OSError:  # it does not listen yet
                return None
            finally:
                connection.close()

        wait_until(lambda: told() == 200, 20, "figures for the client")
        revoke(store, "prometheus")
        wait_until(lambda: told() == 401, REVOKED_SECONDS, "the end of a revoked client")
