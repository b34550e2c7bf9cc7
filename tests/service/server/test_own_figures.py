"""The service's own figures for Prometheus, from a server of several worker processes."""

from __future__ import annotations

import os
import signal
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
# Counters, histograms, gauges, and who it is.
FILES_OF_A_WORKER = 4
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
        "processing_seconds_total",
        "oldest_due_order_age_seconds",
        "build_info",
        "database_up",
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
    return samples_of(answer.body)


def scrape_by(server: Server) -> Samples:
    answer = server.client.get("/metrics", accept="text/plain")
    assert answer.status == 200
    return samples_of(answer.data)


def samples_of(page: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
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
        assert value(samples, "http_requests_total", **posts, code="201") == 2 * ORDERS
        assert value(samples, "http_request_duration_seconds_count", **posts) == 2 * ORDERS
        assert {name for name, _ in samples} >= NAMES


PINGS = {"method": "GET", "route": "/ping", "code": "200"}


def ping(server: Server, times: int) -> None:
    for _ in range(times):
        assert server.client.get("/ping", connection="close").status == 200


def test_no_figure_goes_back_and_no_file_is_added_when_workers_are_replaced(
    server: Server, tmp_path: Path
) -> None:
    ping(server, ORDERS)
    [folder] = tmp_path.glob("order-service-metrics-*")
    files = sorted(folder.iterdir())
    for killed in server.workers():
        os.kill(killed, signal.SIGKILL)
        wait_until(partial(is_replaced, server, {killed}), 20, "another worker")
        ping(server, ORDERS)
    before = set(server.workers())
    server.popen.send_signal(signal.SIGHUP)
    wait_until(partial(is_replaced, server, before), 20, "other workers")
    ping(server, ORDERS)
    assert value(scrape_by(server), "http_requests_total", **PINGS) == 4 * ORDERS
    # Two more for the workers of a reload, which begin before the others have ended.
    assert len(files) < len(list(folder.iterdir())) <= len(files) + 2 * FILES_OF_A_WORKER
    assert len(list(tmp_path.glob("order-service-metrics-*"))) == 1


def test_what_workers_have_is_told_of_those_that_live(server: Server) -> None:
    def gauges() -> tuple[float, float, set[float]]:
        samples = scrape_by(server)
        memory = [samples[of("process_resident_memory_bytes", worker=str(n))] for n in range(4)
                  if of("process_resident_memory_bytes", worker=str(n)) in samples]  # fmt: skip
        threads = value(samples, "processor_threads")
        return threads, value(samples, "database_connections_limit", pool="requests"), set(memory)

    def told(of_workers: int) -> bool:
        threads, connections, memory = gauges()
        return (threads, connections) == (8 * of_workers, 16 * of_workers) and (
            len(memory) == of_workers and min(memory) > 10_000_000
        )

    wait_until(lambda: told(2), 20, "the figures of both")
    # Two others take other places, and nothing of the former is left.
    before = set(server.workers())
    server.popen.send_signal(signal.SIGHUP)
    wait_until(partial(is_replaced, server, before), 20, "other workers")
    wait_until(lambda: told(2), 20, "the figures of the new ones alone")


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def is_replaced(server: Server, killed: set[int]) -> bool:
    return len(server.workers()) == 2 and not killed & set(server.workers())


@pytest.mark.parametrize("content", [b"", b"no such thing", b"\x00\x10\x00\x00" + b"\xff" * 4092])
def test_a_broken_file_costs_no_others_figures(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    ping(server, ORDERS)
    [folder] = tmp_path.glob("order-service-metrics-*")
    (folder / "counter_99.db").write_bytes(content)
    assert value(scrape_by(server), "http_requests_total", **PINGS) == ORDERS
    assert "counter_99.db" in server.log
    assert "Traceback" not in server.log


def test_what_a_killed_server_left_is_removed_by_the_next(server: Server, tmp_path: Path) -> None:
    [left] = tmp_path.glob("order-service-metrics-*")
    server.kill9_group()
    server.start()
    [folder] = tmp_path.glob("order-service-metrics-*")
    assert folder != left


def test_without_room_for_its_figures_the_service_serves(tmp_path: Path, sqlite_url: str) -> None:
    """A file that could not grow would end each worker by a signal, again and again."""
    with Server(tmp_path, sqlite_url, limit="ulimit -f 400", PROCESSOR_THREADS=0) as server:
        [before] = server.start().workers()
        for number in range(ORDERS):
            assert server.client.post(order_body(number + 1)).status == 201
        # This worker's own.
        figure = value(
            scrape_by(server), "http_requests_total", method="POST", route="/orders", code="201"
        )
        assert figure == ORDERS
        assert server.workers() == [before]
        assert "no room for the metrics" in server.log
