"""The service on a group of MySQL servers, under a steady load, and what must be true of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3
from sqlalchemy import text

from tests.support.inspection import Store, open_store
from tests.support.mysql_group import MySQLGroup
from tests.support.mysql_member import Member
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.service_process import START_SECONDS, Client, Server, Worker
from tests.support.steady_load import SteadyLoad

# What was measured is shown by `make test ARGS="… --log-cli-level=INFO"`.
log = logging.getLogger(__name__)

LONGEST_ANSWER = 10.0
# So long nothing but accepted orders is what counts as recovered.
STEADY = 2.0
RECOVERED_SECONDS = 60.0
# From an order's acceptance after all that to its completion.
LONGEST_PROCESSING = 5.0
# What is answered at the edge of an outage may say either.
EDGE = 1.0


def url_of(group: MySQLGroup, account: str) -> str:
    """Return the DATABASE_URL of one of the stack's accounts, by which each member is verified."""
    servers, password = ",".join(group.servers), group.password(account)
    return f"mysql+pymysql://{account}:{password}@{servers}/orders?ssl_ca={group.authority}"


class Shop:
    """A web server of two processes, and a worker, on a group."""

    def __init__(self, group: MySQLGroup, folder: Path) -> None:
        self.group = group
        self.url = url_of(group, "service")
        metrics = free_port()
        self.server = Server(folder, self.url, WEB_CONCURRENCY=2, PROCESSOR_THREADS=0)
        self.worker = Worker(folder, self.url, SIMULATE_MAX_MILLISECONDS=0, METRICS_PORT=metrics)
        self._ready_ports = [self.server.port, metrics]

    def start(self) -> None:
        """Start both, and wait until they are ready."""
        self.worker.start()
        self.server.start()
        client = Client(self._ready_ports[-1])
        wait_until(lambda: _is_ready(client), START_SECONDS, "the worker's readiness")

    def close(self) -> None:
        """Make sure that nothing of them is left."""
        self.server.close()
        self.worker.close()

    @contextmanager
    def load(self) -> Iterator[SteadyLoad]:
        """Give a load during which something is to happen; it ends when that is over."""
        with SteadyLoad(self.server.port, self._ready_ports) as load:
            wait_until(lambda: load.accepts_again(0.0, STEADY), 30, "accepted orders")
            yield load
            wait_until_accepting(load)

    def assert_all_well(
        self, load: SteadyLoad, longest_silence: float, *, nobody_writes: bool = True
    ) -> None:
        """Nothing is lost, nothing has hung, and `/readyz` was right.

        `nobody_writes` tells that no server took writes while no order was accepted; else one may
        have said so that could not.
        """
        began, ended = load.silence()
        answers = load.all_answers()
        slowest = max(one.answered - one.asked for one in answers)
        refused = sum(one.status == 503 for one in load.posts)
        log.info("no 201 for %.1f s, %d times 503, slowest %.1f s", ended - began, refused, slowest)
        assert ended - began < longest_silence
        assert slowest < LONGEST_ANSWER
        assert {one.status for one in load.posts} <= {201, 503}
        # What was accepted is found at once, by whichever process is asked.
        assert {one.status for one in load.gets} <= {200, 503}
        assert all(one.may_retry for one in answers if one.status == 503)
        within = [one for one in load.probes if began + EDGE < one.answered < ended - EDGE]
        assert {one.status for one in within} <= ({503} if nobody_writes else {200, 503})
        outside = [one for one in load.probes if not began - EDGE < one.asked < ended + EDGE]
        # A second election may follow, during which orders are refused again.
        ready = [one for one in outside if not load.refused(one.asked - EDGE, one.answered + EDGE)]
        assert {one.status for one in ready} == {200}
        last = max(ended, load.last_refusal())
        first = min(one.order_id for one in load.posts if one.asked > last and one.status == 201)
        with open_store(self.url) as store:
            _assert_all_processed(store, load.accepted, first)
        for process in (self.server, self.worker):
            assert "Traceback" not in process.log

    def assert_all_are_back(self) -> None:
        """All three are members, as each of them sees it."""
        began = time.monotonic()
        for member in self.group.members:
            self.group.wait_until_online(3, member)
        log.info("all members are back after %.1f s", time.monotonic() - began)

    def replaced(self, load: SteadyLoad, former: Member) -> None:
        """Wait until orders are accepted again after a primary was lost just now."""
        wait_until_accepting(load)
        assert self.group.primary() is not former


def wait_until_accepting(load: SteadyLoad) -> None:
    """Wait until nothing but accepted orders was answered for a while from now on."""
    since = time.monotonic()
    wait_until(
        lambda: load.accepts_again(since, STEADY), RECOVERED_SECONDS, "accepted orders", every=0.1
    )


def _assert_all_processed(store: Store, accepted: set[int], first: int) -> None:
    """All are completed once, those from `first` on soon."""
    wait_until(lambda: set(store.statuses().values()) == {"Completed"}, 30, "the orders' ends")
    store.assert_all_completed_once(accepted)
    query = text(
        "SELECT MAX(TIMESTAMPDIFF(MICROSECOND, created_at, updated_at)) FROM orders"
        " WHERE order_id >= :first"
    )
    longest = float(store.run(lambda c: c.execute(query, {"first": first}).scalar_one())) / 1e6
    log.info("what was accepted afterwards was completed within %.1f s", longest)
    assert longest < LONGEST_PROCESSING


def _is_ready(client: Client) -> bool:
    with suppress(urllib3.exceptions.HTTPError):
        return client.get("/readyz").status == 200
    return False
