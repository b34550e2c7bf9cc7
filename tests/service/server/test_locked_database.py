"""Statements that wait for a lock, or for a database that hangs, hold up nothing else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from tests.support.databases import ONLY_MYSQL, order_body
from tests.support.inspection import Store, open_store
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.service_process import Client, Server

pytestmark = pytest.mark.slow

SECONDS = 30.0
WRITERS, READERS, PINGING = 40, 6, 4
LOCK_WAIT = 2.0
LONGEST_ANSWER = 10.0


class Clients:
    """Clients of several kinds at once; the answers of each kind, and its longest wait."""

    def __init__(self, server: Server) -> None:
        self._client = Client(server.port, WRITERS + READERS + PINGING)
        self._ended = threading.Event()
        self.answers: dict[str, Counter[object]] = {}
        self.longest: dict[str, float] = {}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Send requests without a pause until the end of the block."""
        ids = iter(range(10_000, 10**9))
        kinds: list[tuple[str, int, Callable[[], urllib3.BaseHTTPResponse]]] = [
            ("post", WRITERS, lambda: self._client.post(order_body(next(ids)))),
            ("read", READERS, lambda: self._client.get("/orders/1")),
            ("ping", PINGING, lambda: self._client.get("/ping")),
        ]
        with ThreadPoolExecutor(WRITERS + READERS + PINGING) as pool:
            running = [
                pool.submit(self._send, kind, call)
                for kind, number, call in kinds
                for _ in range(number)
            ]
            try:
                yield
            finally:
                self._ended.set()
                for one in running:
                    one.result(SECONDS)

    def _send(self, kind: str, call: Callable[[], urllib3.BaseHTTPResponse]) -> None:
        counted = self.answers.setdefault(kind, Counter())
        while not self._ended.is_set():
            began = time.monotonic()
            counted[call().status] += 1
            took = time.monotonic() - began
            self.longest[kind] = max(self.longest.get(kind, 0), took)

    def wait_for(self, kind: str, status: int, number: int) -> None:
        """Wait until so many more have been answered so."""
        counted = self.answers.setdefault(kind, Counter())
        before = counted[status]
        wait_until(lambda: counted[status] >= before + number, SECONDS, f"{status} for {kind}")


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    with Server(tmp_path, url, PROCESSOR_THREADS=0) as server:
        yield server.start()


@ONLY_MYSQL
def test_a_lock_on_new_orders_holds_up_neither_reads_nor_pings(
    server: Server, store: Store, url: str
) -> None:
    store.add_orders([1])
    clients = Clients(server)
    with clients.at_work():
        clients.wait_for("post", 201, 100)
        with open_store(url) as other, other.database.connect() as holder:
            holder.exec_driver_sql("SET SESSION transaction_isolation = 'REPEATABLE-READ'")
            holder.exec_driver_sql("START TRANSACTION")
            # All of the table, its end included: no order can be inserted.
            holder.exec_driver_sql("SELECT id FROM orders FOR UPDATE")
            holder.exec_driver_sql(
                "INSERT INTO orders (order_id, user_id, item_ids, total_amount)"
                " VALUES (9999999999, 1, '[1]', 1)"
            )
            clients.longest.clear()
            clients.wait_for("post", 503, WRITERS)
            clients.wait_for("read", 200, 100)
            longest = dict(clients.longest)
            holder.exec_driver_sql("ROLLBACK")
        clients.wait_for("post", 201, 100)
    assert set(clients.answers["read"]) == {200}
    assert set(clients.answers["ping"]) == {200}
    assert set(clients.answers["post"]) == {201, 503}
    assert longest["ping"] < LOCK_WAIT
    assert longest["read"] < LOCK_WAIT
    assert clients.longest["post"] < LONGEST_ANSWER
    assert len(store.statuses()) == 1 + clients.answers["post"][201]


@ONLY_MYSQL
def test_a_database_that_hangs_costs_pings_nothing(
    server: Server, store: Store, mysql_server: MySQLServer
) -> None:
    store.add_orders([1])
    clients = Clients(server)
    with clients.at_work():
        clients.wait_for("post", 201, 100)
        mysql_server.pause()
        try:
            clients.longest.clear()
            clients.wait_for("post", 503, 2 * WRITERS)
            clients.wait_for("ping", 200, 100)
            longest = dict(clients.longest)
        finally:
            mysql_server.unpause()
        clients.wait_for("post", 201, 100)
    assert set(clients.answers["ping"]) == {200}
    assert longest["ping"] < LOCK_WAIT
    assert max(clients.longest.values()) < LONGEST_ANSWER
    assert set(clients.answers["post"]) == {201, 503}
    assert len(store.statuses()) >= 1 + clients.answers["post"][201]
