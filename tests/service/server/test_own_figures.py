"""The service's own figures for Prometheus, from a server of several worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.raw_http import RawConnection, get, post
from tests.support.service_process import Server

ORDERS = 5
NAMES = {
    f"order_service_{name}"
    for name in (
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "orders_claimed_total",
        "orders_finished_total",
        "orders_retried_total",
        "leases_lost_total",
        "handler_duration_seconds_bucket",
        "orders",
        "total_orders",
        "processing_seconds_sum",
        "avg_processing_time_seconds",
        "queue_age_seconds",
    )
}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def server(tmp_path: Path, sqlite_url: str) -> Iterator[Server]:
    with Server(tmp_path, sqlite_url, WEB_CONCURRENCY=2) as server:
        server.start()
        wait_until(lambda: len(server.workers()) == 2, 20, "the second worker")
        yield server


@pytest.fixture
def connections(server: Server) -> Iterator[dict[int, RawConnection]]:
    """A connection to each worker, by its process id."""
    found: dict[int, RawConnection] = {}
    with ExitStack() as stack:

        def connect() -> bool:
            connection = stack.enter_context(RawConnection(server.port))
            connection.send(get("/ping"))
            assert connection.answer().status == 200
            found[server.worker_of(connection.socket)] = connection
            return len(found) == 2

        wait_until(connect, 20, "connections to both workers")
        yield found


def scrape(connection: RawConnection) -> Samples:
    connection.send(get("/metrics", fields=b"Accept: text/plain\r\n"))
    answer = connection.answer()
    assert answer.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample's value; 0 for what was never counted."""
    return samples.get((f"order_service_{name}", frozenset(labels.items())), 0)


def test_either_worker_tells_what_both_have_done(connections: dict[int, RawConnection]) -> None:
    order_ids = iter(range(1, 2 * ORDERS + 1))
    for connection in connections.values():
        for _ in range(ORDERS):
            connection.send(post(order_body(next(order_ids))))
            assert connection.answer().status == 201
    first, second = connections.values()
    finished = partial(value, name="orders_finished_total", status="Completed")
    wait_until(lambda: finished(scrape(first)) == 2 * ORDERS, 30, "the end of all orders")
    posts = {"method": "POST", "route": "/orders"}
    for samples in (scrape(first), scrape(second)):
        assert finished(samples) == 2 * ORDERS
        assert value(samples, "orders_claimed_total") == 2 * ORDERS
        assert value(samples, "handler_duration_seconds_count") == 2 * ORDERS
        assert value(samples, "orders", status="Completed") == 2 * ORDERS
        assert value(samples, "http_requests_total", **posts, status="201") == 2 * ORDERS
        assert value(samples, "http_request_duration_seconds_count", **posts) == 2 * ORDERS
        assert {name for name, _ in samples} >= NAMES
