"""The service's requests as stored orders become many: each must cost what it did with few."""

from __future__ import annotations

from contextlib import ExitStack

from bench.bench import Bench
from bench.database import OrderDatabase
from bench.load import Sample
from bench.measurements import Case, Measure, interleave
from bench.options import TARGET_CONNECTIONS
from bench.servers import WebServer, service


def run(bench: Bench) -> None:
    """Measure each kind of request, the posts last: they add to what is stored."""
    with ExitStack() as stack:
        servers = {}
        for stored in bench.options.sizes:
            database = bench.database()
            database.fill(completed=stored)
            print(f"  {stored} orders stored", flush=True)
            server = service(database, bench.credentials, bench.directory)
            servers[stored] = (stack.enter_context(server.start()), database)
            _measure(bench, "get", stored, server, database)[1]()
        for kind in ("get", "list", "metrics", "post"):
            measures = [
                _measure(bench, kind, stored, server, database)
                for stored, (server, database) in servers.items()
            ]
            interleave(bench.results, measures, bench.options.rounds)


def _measure(
    bench: Bench, kind: str, stored: int, server: WebServer, database: OrderDatabase
) -> tuple[Case, Measure]:
    def measure() -> Sample:
        # A few are no longer few after the first round.
        if kind == "post" and stored == min(bench.options.sizes):
            database.fill(completed=stored)
        return bench.generator.run(
            server.url,
            kind,
            connections=TARGET_CONNECTIONS,
            seconds=bench.options.seconds,
            stored=stored,
        )

    return Case(f"growth {kind}", "service", TARGET_CONNECTIONS, stored), measure
