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
        # Else a 503 may be about an order that is stored.
        self.outcomes_known = True

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


@pytest.fixture
def clients(server: Server, store: Store) -> Iterator[Clients]:
    """Clients at work, before the fault and after it."""
    store.add_orders([1])
    made = Clients(server)
    with made.at_work():
        made.wait_for("post", 201, 100)
        made.longest.clear()
        yield made
        made.wait_for("post", 201, 100)
    assert set(made.answers["ping"]) == {200}
    assert set(made.answers["post"]) == {201, 503}
    assert max(made.longest.values()) < LONGEST_ANSWER
    stored, accepted = len(store.statuses()), 1 + made.answers["post"][201]
    assert stored == accepted or (stored > accepted and not made.outcomes_known)


@ONLY_MYSQL
def test_a_lock_on_new_orders_holds_up_neither_reads_nor_pings(clients: Clients, url: str) -> None:
    with open_store(url) as other, other.database.connect() as holder:
        holder.exec_driver_sql("SET SESSION transaction_isolation = 'REPEATABLE-READ'")
        holder.exec_driver_sql("START TRANSACTION")
        # All of the table, its end included: no order can be inserted.
        holder.exec_driver_sql("SELECT id FROM orders FOR UPDATE")
        holder.exec_driver_sql(
            "INSERT INTO orders (order_id, user_id, item_ids, total_amount)"
            " VALUES (9999999999, 1, '[1]', 1)"
        )
        clients.wait_for("post", 503, WRITERS)
        clients.wait_for("read", 200, 100)
        longest = dict(clients.longest)
        holder.exec_driver_sql("ROLLBACK")
    assert set(clients.answers["read"]) == {200}
    assert longest["ping"] < LOCK_WAIT
    assert longest["read"] < LOCK_WAIT


@ONLY_MYSQL
def test_a_database_that_hangs_costs_pings_nothing(
    clients: Clients, mysql_server: MySQLServer
) -> None:
    clients.outcomes_known = False
    mysql_server.pause()
    try:
        clients.wait_for("post", 503, 2 * WRITERS)
        clients.wait_for("ping", 200, 100)
        longest = dict(clients.longest)
    finally:
        mysql_server.unpause()
    assert longest["ping"] < LOCK_WAIT


@ONLY_MYSQL
def test_a_scrape_is_answered_in_time_while_the_database_hangs(
    server: Server, mysql_server: MySQLServer
) -> None:
    def scrape() -> tuple[str, float]:
        began = time.monotonic()
        answer = server.client.get("/metrics", accept="text/plain")
        assert answer.status == 200
        found = [line for line in answer.data.decode().splitlines() if "database_up " in line]
        return found[-1].split()[-1], time.monotonic() - began

    assert scrape()[0] == "1.0"
    mysql_server.pause()
    try:
        # On a connection that was open, and on none.
        during = [scrape() for _ in range(2)]
    finally:
        mysql_server.unpause()
    assert [up for up, _ in during] == ["0.0", "0.0"]
    assert max(seconds for _, seconds in during) < LONGEST_ANSWER
    wait_until(lambda: scrape()[0] == "1.0", SECONDS, "the database's figures")


@ONLY_MYSQL
def test_a_database_that_takes_no_writes_is_named_and_found_again(
    clients: Clients, server: Server, mysql_server: MySQLServer
) -> None:
    with mysql_server.read_only():
        clients.wait_for("post", 503, WRITERS)
        clients.wait_for("read", 200, 100)
        not_ready = server.client.get("/readyz")
    assert not_ready.status == 503
    assert not_ready.json()["problems"] == {"database": "takes no writes"}
    assert set(clients.answers["read"]) == {200}


@ONLY_MYSQL
def test_a_client_hears_that_its_orders_outcome_is_unknown(
    server: Server, store: Store, mysql_server: MySQLServer
) -> None:
    # A connection that was used just now is not asked before it is used: the order itself is sent.
    assert server.client.post(order_body(1)).status == 201
    mysql_server.pause()
    try:
        answer = server.client.post(order_body(2))
    finally:
        mysql_server.unpause()
    assert answer.status == 503
    assert "not known whether the order was stored" in answer.json()["error"]
    assert int(answer.headers["Retry-After"]) >= 1
    # It was sent, and so it is stored as soon as the database goes on.
    wait_until(lambda: 2 in store.statuses(), SECONDS, "the order")
    assert server.client.post(order_body(2)).status == 409
