"""What must not grow, and what must not wait: ratios and counts, never absolute speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Connection, text

from service import create_app
from service.models import db
from service.processing.processor import POLL_SECONDS
from tests.support import databases
from tests.support.inspection import Store, open_store
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.service_process import AUTHORIZATION, Server

FEW, MANY = 1_000, 1_000_000
ROUNDS = 40
IDLE_SECONDS = 6

FINISHED_ORDERS = """
INSERT INTO orders (order_id, user_id, item_ids, total_amount, outcome, available_at, attempts,
                    fence, processing_microseconds, created_at, updated_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
SELECT n + :offset, n % 1000, '[1, 2, 3]', 100, 'Completed', :moment, 1, 1, 1000, :moment, :moment
FROM numbers
"""


def add_finished(store: Store, count: int) -> None:
    """Store completed orders as the service would have left them, in parts."""
    # Small enough for the time-out of a statement on a busy machine.
    part = min(count, 10_000)
    for offset in range(0, count, part):
        values = {"count": part, "offset": offset, "moment": "2026-01-01 00:00:00.000000"}
        store.run(lambda connection, values=values: add_part(connection, values))
    totals = text("UPDATE order_totals SET completed = :count WHERE slot = 3")
    store.run(lambda connection: connection.execute(totals, {"count": count}))


def add_part(connection: Connection, values: dict[str, object]) -> None:
    if connection.dialect.name == "mysql":
        connection.execute(text("SET SESSION cte_max_recursion_depth = 100000"))
    connection.execute(text(FINISHED_ORDERS), values)


@contextmanager
def application(url: str) -> Iterator[Flask]:
    app = create_app(databases.settings_for(url))
    with app.app_context():
        yield app
        db.engine.dispose()


def seconds_of_metrics(app: Flask, expected_total: int) -> float:
    started = time.perf_counter()
    answer = app.test_client().get("/metrics", headers=AUTHORIZATION)
    seconds = time.perf_counter() - started
    assert answer.json["total_orders"] == expected_total + 1
    return seconds


def compare_metrics(few_url: str, many_url: str) -> None:
    for url, count in ((few_url, FEW), (many_url, MANY)):
        with open_store(url) as store:
            add_finished(store, count)
            store.add_orders([count + 1])
    with application(few_url) as few:
        for _ in range(5):
            seconds_of_metrics(few, FEW)
    few_seconds, many_seconds = [], []
    with application(few_url) as few, application(many_url) as many:
        for _ in range(ROUNDS):
            with few.app_context():
                few_seconds.append(seconds_of_metrics(few, FEW))
            with many.app_context():
                many_seconds.append(seconds_of_metrics(many, MANY))
    ratio = statistics.median(many_seconds) / statistics.median(few_seconds)
    assert ratio <= 1.5, f"/metrics takes {ratio:.2f} times as long with {MANY} finished orders"


def test_metrics_do_not_slow_down_on_sqlite(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("few", "many")]
    for url in urls:
        databases.migrate(url)
    compare_metrics(*urls)


@pytest.mark.mysql
def test_metrics_do_not_slow_down_on_mysql(mysql_server: MySQLServer) -> None:
    names = [mysql_server.create_database() for _ in range(2)]
    urls = [mysql_server.url(name) for name in names]
    for url in urls:
        databases.migrate(url)
    compare_metrics(*urls)
    for name in names:
        mysql_server.drop_database(name)


@pytest.mark.mysql
def test_an_idle_service_sends_few_queries(tmp_path: Path) -> None:
    with MySQLServer.start() as mysql:
        url = mysql.url(mysql.create_database())
        databases.migrate(url)
        with Server(tmp_path, url, WEB_CONCURRENCY=2) as server:
            server.start()
            before = mysql.global_status("Questions")
            time.sleep(IDLE_SECONDS)  # the time that is measured
            asked = mysql.global_status("Questions") - before
    # Reading the counter twice is a few questions as well.
    assert 0 < asked <= 5 * IDLE_SECONDS, f"{asked} queries in {IDLE_SECONDS} s"


def test_a_new_order_wakes_the_processor(tmp_path: Path, url: str) -> None:
    with Server(tmp_path, url, ORDER_HANDLER="tests.support.order_handlers:noop") as server:
        server.start()
        seconds = []
        for order_id in range(1, 22):
            started = time.perf_counter()
            assert server.client.post(databases.order_body(order_id)).status == 201
            wait_until(
                lambda number=order_id: (
                    server.client.get(f"/orders/{number}").json()["status"] == "Completed"
                ),
                10,
                "the completion",
                every=0.001,
            )
            seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    assert median < POLL_SECONDS / 5, f"{median:.3f} s is a matter of polling, not of waking"
    print(f"POST to Completed: median {median * 1000:.1f} ms")  # noqa: T201 - shown by -rP
