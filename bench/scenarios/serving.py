"""Requests: this service, through nginx as well, beside its peers and the limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.bench import Bench
from bench.conformance import Conformance
from bench.database import OrderDatabase
from bench.load import LoadError, Sample
from bench.measurements import Case, Measure, interleave
from bench.mysqlslap import MySQLSlap
from bench.nginx import Nginx
from bench.options import REQUEST_NAMES, STORED, TARGET_CONNECTIONS
from bench.profile import record_profiles
from bench.servers import WebServer, fastapi, granian, naive, service

WARM_UP_SECONDS = 1
# Threads of each process, as many as a deployed host has.
PROCESSOR_THREADS = 8
PROCESSED_SECONDS = 120.0

NAIVE_ROWS = """
INSERT INTO naive_orders (order_id, user_id, item_ids, total_amount, status, created_at,
                          processing_time)
SELECT order_id, user_id, item_ids, total_amount, 'Completed', created_at, 0.1 FROM orders
"""


@dataclass(frozen=True)
class Peer:
    """A server under test; `fill` leaves it with that many completed orders, and `settle` waits
    until it has nothing to do."""

    name: str
    url: str
    server: WebServer
    fill: Callable[[int], None]
    settle: Callable[[], object] = lambda: None


def run(bench: Bench) -> None:
    """Measure the reads, on a few stored orders, then the posts, on none."""
    options = bench.options
    with ExitStack() as stack:
        nginx, peers = _start(bench, stack)
        working = _start_working(bench, stack)
        slap = MySQLSlap(bench.database())
        for peer in [*peers, working]:
            peer.fill(STORED)
            _warm_up(bench, peer, [kind for kind in REQUEST_NAMES if kind in options.only])
        for peer in peers:
            peer.fill(STORED)
        for kind in [kind for kind in ("get", "list", "metrics") if kind in options.only]:
            for connections in options.connections:
                measures = [_reading(bench, peer, kind, connections) for peer in peers]
                if kind == "get":
                    measures.append(_constant(bench, nginx, connections))
                interleave(bench.results, measures, options.rounds)
        if "post" in options.only:
            for connections in options.connections:
                measures = [_posting(bench, peer, connections) for peer in peers]
                if connections == TARGET_CONNECTIONS:
                    measures.append(_posting(bench, working, connections))
                limit = partial(slap.measure, connections, options.seconds)
                measures.append((Case("post", "mysqlslap", connections), limit))
                interleave(bench.results, measures, options.rounds)
        if options.profile:
            servers = {peer.name: peer.server for peer in peers if peer.name != "nginx"}
            record_profiles(bench, servers, STORED)


def _start(bench: Bench, stack: ExitStack) -> tuple[Nginx, list[Peer]]:
    common = (bench.credentials, bench.directory)
    databases = [bench.database() for _ in range(4)]
    serving = stack.enter_context(service(databases[0], *common).start())
    fast = stack.enter_context(fastapi(databases[1], *common).start())
    slow = stack.enter_context(naive(databases[2], *common).start())
    rusty = stack.enter_context(granian(databases[3], *common).start())
    nginx = stack.enter_context(Nginx(bench.directory, serving.port))
    peers = [
        Peer("service", serving.url, serving, partial(_fill, databases[0])),
        Peer("nginx", nginx.url, serving, partial(_fill, databases[0])),
        Peer("granian", rusty.url, rusty, partial(_fill, databases[3])),
        Peer("fastapi", fast.url, fast, partial(_fill, databases[1])),
        Peer("naive", slow.url, slow, partial(_fill_naive, databases[2])),
    ]
    for peer in peers:
        peer.fill(0)
        authorization = bench.credentials.authorization
        Conformance(peer.name, peer.url, authorization, nginx.ca).check()
        print(f"  {peer.name} conforms", flush=True)
    return nginx, peers


def _start_working(bench: Bench, stack: ExitStack) -> Peer:
    """Start this service once more, with its processor at work beside."""
    database = bench.database()
    server = service(
        database, bench.credentials, bench.directory, PROCESSOR_THREADS=PROCESSOR_THREADS
    )
    stack.enter_context(server.start())
    return Peer(
        "working",
        server.url,
        server,
        partial(_fill, database),
        partial(database.wait_until_processed, PROCESSED_SECONDS),
    )


def _warm_up(bench: Bench, peer: Peer, kinds: Iterable[str]) -> None:
    for kind in kinds:
        sample = bench.generator.run(
            peer.url,
            kind,
            connections=TARGET_CONNECTIONS,
            seconds=WARM_UP_SECONDS,
            stored=STORED,
        )
        if sample.errors:
            raise LoadError(f"{peer.name} is not measured: {kind}: {sample.problem}")
    peer.settle()


def _fill(database: OrderDatabase, completed: int) -> None:
    database.fill(completed=completed)


def _fill_naive(database: OrderDatabase, completed: int) -> None:
    database.fill(completed=completed)
    database.query("TRUNCATE naive_orders")
    database.query(NAIVE_ROWS)


def _reading(bench: Bench, peer: Peer, kind: str, connections: int) -> tuple[Case, Measure]:
    def measure() -> Sample:
        return bench.generator.run(
            peer.url, kind, connections=connections, seconds=bench.options.seconds, stored=STORED
        )

    return Case(kind, peer.name, connections, STORED), measure


def _constant(bench: Bench, nginx: Nginx, connections: int) -> tuple[Case, Measure]:
    def measure() -> Sample:
        return bench.generator.run(
            nginx.constant_url,
            "/",
            connections=connections,
            seconds=bench.options.seconds,
            stored=0,
        )

    return Case("constant", "nginx", connections), measure


def _posting(bench: Bench, peer: Peer, connections: int) -> tuple[Case, Measure]:
    def measure() -> Sample:
        peer.fill(0)
        sample = bench.generator.run(
            peer.url, "post", connections=connections, seconds=bench.options.seconds, stored=0
        )
        peer.settle()
        return sample

    return Case("post", peer.name, connections), measure
