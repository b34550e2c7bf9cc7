"""Under load, the parts of the stack die one after the other; no order with a 201 is lost."""

from __future__ import annotations

import itertools
import json
import random
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Self

import pytest
import urllib3

from tests.support.docker import docker
from tests.support.load import Load
from tests.support.polling import wait_until
from tests.support.stack import Stack, StackClient

SETTINGS = {"PROCESSOR_LEASE_SECONDS": "3", "SIMULATE_MAX_MILLISECONDS": "20"}
THREADS = 6
PAUSE = 0.02
# Where each load's orders begin: no load comes near the next one's, nor near a Traffic's.
FIRST_IDS = itertools.count(2_000_000_000, 1_000_000)


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """The shared stack with these settings, and with a change of the code."""
    path = shared_stack.checkout / "service" / "web" / "health.py"
    path.write_text(path.read_text().replace('"success"', '"changed"'))
    shared_stack.configure(**SETTINGS)
    return shared_stack


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
def load(stack: Stack) -> Iterator[Load]:
    """Clients at work; at the end everything that was accepted must be there, once."""
    client = stack.client()
    load = Load(client, threads=THREADS, first_id=next(FIRST_IDS), pause=PAUSE)
    with load, Readers(client, load) as readers:
        load.wait_for_more(50)
        yield load
        load.wait_for_more(50, 90)
        answered = readers.statuses[200]
        wait_until(lambda: readers.statuses[200] > answered + 20, 30, "orders to be read again")
    assert load.problems == []
    assert set(load.statuses) <= {201, 503, "no answer"}, load.statuses
    assert set(readers.statuses) <= {200, 503, "no answer"}, readers.statuses
    assert_all_completed_once(stack, load.accepted)


def assert_all_completed_once(stack: Stack, accepted: set[int]) -> None:
    def finished() -> bool:
        rows = stack.query("SELECT COUNT(*) FROM orders WHERE outcome IS NULL")
        return rows.stdout.strip() == "0"

    wait_until(finished, 90, "the end of all orders", every=0.5)
    stored = stack.query("SELECT order_id FROM orders WHERE outcome = 'Completed'").stdout.split()
    lost = accepted - set(map(int, stored))
    assert not lost, f"lost: {sorted(lost)[:10]}"
    assert len(set(stored)) == len(stored), "an order is stored twice"
    completions = stack.query("SELECT SUM(completed) FROM order_totals").stdout
    assert int(completions) == len(stored), "an order was completed twice"


def test_a_change_of_the_code_is_taken_up(stack: Stack) -> None:
    assert stack.client().get("/ping").json() == {"message": "changed"}


@pytest.mark.usefixtures("load")
def test_the_service_is_killed(stack: Stack) -> None:
    stack.kill9_main_process("app")


def test_mysql_is_killed(stack: Stack, load: Load) -> None:
    refused = load.statuses[503]
    stack.kill9_main_process("mysql")
    load.wait_for_more(50, 90)
    assert load.statuses[503] > refused, "nobody saw a 503 while MySQL was away"


@pytest.mark.usefixtures("load")
def test_nginx_is_killed(stack: Stack) -> None:
    stack.kill9_main_process("nginx")


@pytest.mark.usefixtures("load")
def test_the_service_is_scaled(stack: Stack) -> None:
    stack.compose("up", "-d", "--scale", "app=3")
    described = json.loads(docker("inspect", *stack.containers("app")))
    networks = [one["NetworkSettings"]["Networks"] for one in described]
    addresses = {f"{one[f'{stack.project}_web']['IPAddress']}:5000" for one in networks}
    assert len(addresses) == 3
    wait_until(lambda: upstreams(stack) >= addresses, 60, "requests to all three", every=0.5)
    stack.compose("up", "-d", "--no-deps", "--scale", "app=1", "app")
    assert len(stack.containers("app")) == 1


def upstreams(stack: Stack) -> set[str]:
    """Return where nginx has lately found the service."""
    lines = stack.compose("logs", "--no-log-prefix", "--tail", "200", "nginx").splitlines()
    found = (line.partition('"upstream":"')[2].partition('"')[0] for line in lines)
    return {address for address in found if address and "," not in address}


@pytest.mark.usefixtures("load")
def test_mysql_stays_away(stack: Stack) -> None:
    """While it is stopped, each answer is the service's 503, which says when to come again."""
    stack.stop("mysql")
    client = stack.client()
    request_id = secrets.token_hex(8)
    answer = client.get("/orders/1", **{"X-Request-ID": request_id})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    # Not nginx's own, which would come after a time-out.
    lines = wait_until(lambda: stack.accesses("request_id", request_id), 30, "nginx's line")
    assert [line["upstream_status"] for line in lines] == ["503"]
    assert client.get("/ping").status == 200
    stack.start("mysql")
