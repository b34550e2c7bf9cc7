"""One host against three that share its work, and what an order costs each part of the stack."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from bench.bench import Bench
from bench.database import OrderDatabase
from bench.hosts import GUNICORN, PROCESSOR, Host, build, processor_seconds
from bench.load import FIRST_POSTED, Generator, Sample
from bench.measurements import COST, GROWN, ONE_HOST, Case, interleave
from bench.nginx import Nginx
from bench.options import TARGET_CONNECTIONS
from bench.servers import WORKERS, service_environment

# Ids that one generator leaves to the next.
IDS = 100_000_000
PROCESSED_SECONDS = 120.0
# Few: a host with so little of a core refuses what it cannot answer in time.
CONNECTIONS = 8


def run(bench: Bench) -> None:
    """Measure orders from the first request to the last completion."""
    build()
    with ExitStack() as stack:
        one, grown, whole = (bench.database() for _ in range(3))
        alone = stack.enter_context(_web(bench, one)).limit()
        webs = [stack.enter_context(_web(bench, grown, PROCESSOR_THREADS=0)).limit() for _ in "12"]
        stack.enter_context(_worker(bench, grown)).limit()
        measures = [
            (Case(ONE_HOST, "service"), partial(_measure, bench, one, [alone.url])),
            (Case(GROWN, "service"), partial(_measure, bench, grown, [web.url for web in webs])),
        ]
        interleave(bench.results, measures, bench.options.rounds)
    with ExitStack() as stack:
        web = stack.enter_context(_web(bench, whole, PROCESSOR_THREADS=0))
        worker = stack.enter_context(_worker(bench, whole))
        nginx = stack.enter_context(Nginx(bench.directory, web.port))
        containers = {
            "nginx": nginx.name,
            "the web server": web.name,
            "the worker": worker.name,
            "MySQL": bench.mysql.name,
        }
        before = {part: processor_seconds(name) for part, name in containers.items()}
        orders = _measure(bench, whole, [nginx.url], TARGET_CONNECTIONS).requests
        for part, name in containers.items():
            used = processor_seconds(name) - before[part]
            bench.results.counts[COST.format(part)] = round(used / orders * 1e6)


def _web(bench: Bench, database: OrderDatabase, **settings: object) -> Host:
    return Host(GUNICORN, _environment(bench, database, WEB_CONCURRENCY=WORKERS, **settings))


def _worker(bench: Bench, database: OrderDatabase) -> Host:
    return Host(PROCESSOR, _environment(bench, database))


def _environment(bench: Bench, database: OrderDatabase, **settings: object) -> dict[str, str]:
    # The image has no tests' handler, and its own does nothing for at most 0 ms.
    handler = {"ORDER_HANDLER": "simulate", "SIMULATE_MAX_MILLISECONDS": 0}
    return service_environment(database, bench.credentials, **handler, **settings)


def _measure(
    bench: Bench, database: OrderDatabase, urls: Sequence[str], connections: int = CONNECTIONS
) -> Sample:
    """Post to all the servers at once; the rate is of what is completed in the end."""
    database.fill()
    seconds, authorization = bench.options.seconds, bench.credentials.authorization
    loads = [
        (Generator(authorization, FIRST_POSTED + number * IDS), url)
        for number, url in enumerate(urls)
    ]

    def post(load: tuple[Generator, str]) -> Sample:
        each = connections // len(urls)
        return load[0].run(load[1], "post", connections=each, seconds=seconds, stored=0)

    began = time.monotonic()
    with ThreadPoolExecutor(len(loads)) as pool:
        samples = list(pool.map(post, loads))
    database.wait_until_processed(PROCESSED_SECONDS)
    stored = database.count()
    return Sample(
        rate=stored / (time.monotonic() - began),
        requests=stored,
        errors=sum(sample.errors for sample in samples),
        problem=", ".join(filter(None, (sample.problem for sample in samples))),
    )
