"""Under load, the parts of the stack die one after the other; no order with a 201 is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Self

import pytest
import urllib3

from tests.support.load import Load
from tests.support.polling import wait_until
from tests.support.stack import Stack, StackClient, running_stack

pytestmark = pytest.mark.slow

THREADS = 6
PAUSE = 0.02


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"PROCESSOR_LEASE_SECONDS": "3", "SIMULATE_MAX_MILLISECONDS": "20"}
    with running_stack(tmp_path_factory.mktemp("checkout"), **settings) as started:
        yield started


class Readers:
    """A thread that asks for accepted orders, and remembers each answer."""

    def __init__(self, client: StackClient, load: Load) -> None:
        self._client = client
        self._load = load
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: Counter[int | str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE):
            accepted = list(self._load.accepted.copy())
            if not accepted:
                continue
            try:
                answer = self._client.get(f"/orders/{random.choice(accepted)}")
                self.statuses[answer.status] += 1
            except urllib3.exceptions.HTTPError:
                self.statuses["no answer"] += 1


@pytest.fixture
def load(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Load]:
    """Clients at work; at the end everything that was accepted must be there, once."""
    first_id = 1 + 2000 * list(CASES).index(request.node.name)
    client = stack.client()
    load = Load(client, threads=THREADS, first_id=first_id, pause=PAUSE)
    with load, Readers(client, load) as readers:
        load.wait_for_more(50)
        yield load
        answered = readers.statuses[200]
        wait_until(lambda: readers.statuses[200] > answered + 20, 30, "orders to be read again")
    assert load.problems == []
    assert set(load.statuses) <= {201, 503, "no answer"}, load.statuses
    assert set(readers.statuses) <= {200, 503, "no answer"}, readers.statuses
    assert_all_completed_once(stack, load.accepted)


def assert_all_completed_once(stack: Stack, accepted: set[int]) -> None:
    def unfinished() -> bool:
        rows = stack.query("SELECT COUNT(*) FROM orders WHERE outcome IS NULL")
        return rows.stdout.strip() == "0"

    wait_until(unfinished, 90, "the end of all orders", every=0.5)
    rows = stack.query("SELECT order_id, outcome FROM orders").stdout.splitlines()
    stored = dict(row.split("\t") for row in rows)
    assert len(stored) == len(rows), "an order is stored twice"
    lost = accepted - {int(order_id) for order_id in stored}
    assert not lost, f"lost: {sorted(lost)[:10]}"
    assert set(stored.values()) == {"Completed"}
    completions = stack.query("SELECT SUM(completed) FROM order_totals").stdout
    assert int(completions) == len(stored), "an order was completed twice"


def test_the_service_is_killed(stack: Stack, load: Load) -> None:
    stack.kill9_main_process("app")
    load.wait_for_more(50)


def test_mysql_is_killed(stack: Stack, load: Load) -> None:
    refused = load.statuses[503]
    stack.kill9_main_process("mysql")
    load.wait_for_more(50)
    assert load.statuses[503] > refused, "nobody saw a 503 while MySQL was away"


def test_nginx_is_killed(stack: Stack, load: Load) -> None:
    stack.kill9_main_process("nginx")
    load.wait_for_more(50)


def test_the_service_is_restarted(stack: Stack, load: Load) -> None:
    stack.compose("restart", "app")
    load.wait_for_more(50)


def test_the_service_is_scaled(stack: Stack, load: Load) -> None:
    stack.compose("up", "-d", "--no-recreate", "--scale", "app=3")
    stack.wait_healthy("app", 3)
    containers = stack.containers("app")
    wait_until(lambda: len(upstreams(stack)) == 3, 30, "requests to all three", every=1)
    stack.compose("up", "-d", "--no-recreate", "--scale", "app=1")
    assert len(stack.containers("app")) == 1 < len(containers)
    load.wait_for_more(50)


def upstreams(stack: Stack) -> set[str]:
    """Return where nginx has lately found the service."""
    lines = stack.compose("logs", "--no-log-prefix", "--tail", "200", "nginx").splitlines()
    found = (line.partition('"upstream":"')[2].partition('"')[0] for line in lines)
    return {address for address in found if address and "," not in address}


def test_mysql_stays_away(stack: Stack, load: Load) -> None:
    """While it is stopped, each answer comes soon, and is a 503 that says when to come again."""
    stack.compose("stop", "mysql")
    client = stack.client()
    for _ in range(5):
        begin = time.monotonic()
        answer = client.get("/orders/1")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert time.monotonic() - begin < 15
    assert client.get("/ping").status == 200
    stack.compose("start", "mysql")
    stack.wait_healthy("mysql")
    load.wait_for_more(50)


CASES = [name for name in list(globals()) if name.startswith("test_")]
