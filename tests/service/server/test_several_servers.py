"""A DATABASE_URL that names two servers: the service finds the one that takes writes by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pytest
import urllib3

from tests.support.databases import migrate, order_body
from tests.support.mysql_server import USER, MySQLServer
from tests.support.polling import wait_until
from tests.support.service_process import Server

pytestmark = [pytest.mark.slow, pytest.mark.mysql]

DATABASE = "orders"
LONGEST_ANSWER = 10.0
# From the moment at which one takes writes; the pool's connections lead to the other.
LONGEST_SWITCH = 10.0
IDS = count(1)


class Pair:
    """Two servers with the same account and database, of which one takes writes. They share no
    data: what replicates them is MySQL's business, and what is tested is who is asked."""

    def __init__(self) -> None:
        self.servers = [MySQLServer.begin(), MySQLServer.begin()]
        password = self.servers[0].password
        for server in self.servers:
            server.wait_until_ready()
            server.query(f"ALTER USER {USER}@'%%' IDENTIFIED BY %s", [password])
            server.query(f"CREATE DATABASE {DATABASE}")
            server.query(f"GRANT ALL ON {DATABASE}.* TO {USER}@'%'")
        hosts = ",".join(f"{server.host}:{server.port}" for server in self.servers)
        self.url = f"mysql+pymysql://{USER}:{password}@{hosts}/{DATABASE}"

    def promote(self, *numbers: int) -> None:
        """Have these take writes, and the others none: those first, as a failover does."""
        for number in sorted((0, 1), key=lambda one: one in numbers):
            value = "OFF" if number in numbers else "ON"
            self.servers[number].query(f"SET GLOBAL super_read_only = {value}")
            self.servers[number].query(f"SET GLOBAL read_only = {value}")

    def stored(self, number: int) -> set[int]:
        """Return the ids of a server's orders."""
        rows = self.servers[number].query(f"SELECT order_id FROM {DATABASE}.orders")
        return {row[0] for row in rows}

    def tables(self, number: int) -> int:
        """Return how many tables a server has."""
        return len(self.servers[number].query(f"SHOW TABLES FROM {DATABASE}"))


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    made = Pair()
    # The migrations find the one that takes writes, too, wherever it stands in the list.
    for number in (1, 0):
        made.promote(number)
        before = made.tables(number)
        migrate(made.url)
        assert (before, made.tables(number) > 10) == (0, True)
    yield made
    for server in made.servers:
        server.close()


@pytest.fixture(scope="module")
def server(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    settings = {"WEB_CONCURRENCY": 2, "SIMULATE_MAX_MILLISECONDS": 0}
    with Server(folder, pair.url, **settings).start() as started:
        yield started


def post(server: Server) -> tuple[int, urllib3.BaseHTTPResponse]:
    """Post a new order; no answer may take too long, whatever it is."""
    order_id = next(IDS)
    asked = time.monotonic()
    answer = server.client.post(order_body(order_id))
    assert time.monotonic() - asked < LONGEST_ANSWER
    assert answer.status in (201, 503), answer.data
    assert answer.status == 201 or answer.headers["Retry-After"]
    return order_id, answer


def assert_served_by(pair: Pair, number: int, server: Server) -> None:
    """Orders are accepted and processed by that server soon, and by no other from then on."""
    wait_until(lambda: post(server)[1].status == 201, LONGEST_SWITCH, "an order that is stored")
    wait_until(lambda: server.client.get("/readyz").status == 200, LONGEST_SWITCH, "readiness")
    ids = []
    # Both processes of the server, and all threads of each.
    for _ in range(50):
        order_id, answer = post(server)
        ids.append(order_id)
        if answer.status == 503:
            # Another process, whose connections still led to the other server.
            wait_until(lambda: post(server)[1].status == 201, LONGEST_SWITCH, "a stored order")
    late = [order_id for order_id in ids[-20:] if order_id not in pair.stored(number)]
    assert not late
    path = f"/orders/{ids[-1]}"
    wait_until(
        lambda: server.client.get(path).json()["status"] == "Completed", 30, "the order's end"
    )


def test_it_follows_a_planned_change_and_back(pair: Pair, server: Server) -> None:
    assert_served_by(pair, 0, server)
    for number in (1, 0):
        pair.promote(number)
        assert_served_by(pair, number, server)


def test_while_none_takes_writes_it_is_unavailable(pair: Pair, server: Server) -> None:
    pair.promote()
    wait_until(lambda: post(server)[1].status == 503, 10, "a refusal")
    wait_until(lambda: server.client.get("/readyz").status == 503, 10, "unreadiness")
    assert server.client.get("/ping").status == 200
    pair.promote(1)
    assert_served_by(pair, 1, server)


@pytest.mark.parametrize("end", ["kill9", "pause"])
def test_it_leaves_a_server_that_is_killed_or_frozen(pair: Pair, server: Server, end: str) -> None:
    pair.promote(0)
    assert_served_by(pair, 0, server)
    getattr(pair.servers[0], end)()
    for setting in ("super_read_only", "read_only"):
        pair.servers[1].query(f"SET GLOBAL {setting} = OFF")
    assert_served_by(pair, 1, server)
    if end == "kill9":
        pair.servers[0].start_again()
    else:
        pair.servers[0].unpause()
    assert "that takes writes is" in server.log
    assert "Traceback" not in server.log
