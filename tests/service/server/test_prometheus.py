"""A real Prometheus asks the real service: what it reads, can draw, and alerts on."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import urllib3

from tests.support.polling import wait_until
from tests.support.ports import HOST
from tests.support.prometheus import CONFIGURATION, MONITORING, promtool
from tests.support.service_process import Client
from tests.support.watched_shop import FINE, REFUSED, SECONDS, Shop, up, watched_shop

pytestmark = pytest.mark.slow

RULES = ("recordings", "alerts")
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/order-service.json").read_text())
QUERIES = sorted(
    {target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())}
)


@pytest.fixture(scope="module")
def shop(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with watched_shop(tmp_path_factory.mktemp("shop"), sqlite_template) as started:
        yield started


def test_each_target_is_asked_without_an_error_and_each_rule_is_understood(shop: Shop) -> None:
    for target in shop.prometheus.ask("targets")["activeTargets"]:
        assert (target["health"], target["lastError"]) == ("up", ""), target

    def health() -> set[str]:
        rules = [one for group in shop.prometheus.ask("rules")["groups"] for one in group["rules"]]
        assert len(rules) > 20
        return {rule["health"] for rule in rules}

    # Those that were not run yet are "unknown".
    wait_until(lambda: health() == {"ok"}, SECONDS, "rules that are understood", every=0.3)
    found = shop.prometheus.query('count by (role) (up{job="order-service"})')
    assert found == {"role=app": 1, "role=worker": 1}


def test_the_types_are_what_the_names_say(shop: Shop) -> None:
    metadata = shop.prometheus.ask("metadata")
    own = {
        name: {one["type"] for one in told}
        for name, told in metadata.items()
        if name.startswith("order_service_")
    }
    for name, types in own.items():
        assert types in ({"counter"}, {"gauge"}, {"histogram"}), name
    # In OpenMetrics the family of a counter has no suffix.
    assert own["order_service_orders"] == {"gauge"}
    assert own["order_service_handler_duration_seconds"] == {"histogram"}
    assert own["order_service_processing_seconds"] == {"counter"}
    assert own["order_service_http_requests"] == {"counter"}


@pytest.mark.parametrize("who", ["the web", "a worker"])
def test_promtool_finds_nothing_wrong(shop: Shop, who: str) -> None:
    client = shop.server.client if who == "the web" else shop.worker_client
    promtool("check", "metrics", text=client.get("/metrics", accept="text/plain").data.decode())


def test_the_numbers_are_what_was_posted(shop: Shop) -> None:
    for number in range(12):
        shop.post(REFUSED if number % 4 == 0 else FINE)
    posts = 'sum by (code) (order_service_http_requests_total{method="POST",code!="500"})'
    shop.reads(posts, {"code=201": 12, "code=503": 0}, "requests")
    shop.reads(
        "max by (status) (order_service_orders)",
        {
            "status=Pending": 0,
            "status=Processing": 0,
            "status=Completed": shop.fine,
            "status=Failed": shop.refused,
            "status=Cancelled": 0,
        },
        "orders by status",
    )
    # The worker has counted them, and the web none.
    finished = "sum by (role, status) (order_service_orders_finished_total)"
    shop.reads(
        finished,
        {
            "role=app,status=Completed": 0,
            "role=app,status=Failed": 0,
            "role=worker,status=Completed": shop.fine,
            "role=worker,status=Failed": shop.refused,
        },
        "finished orders",
    )
    shop.reads("sum(order_service_handler_duration_seconds_count)", {"": 12}, "handlers")
    threads = "sum by (role) (order_service_processor_threads)"
    shop.reads(threads, {"role=app": 0, "role=worker": 4}, "threads")
    shop.reads("max(order_service_processors)", {"": 1}, "processors")
    build = 'count(order_service_build_info{release="dev"})'
    shop.reads(build, {"": 2}, "releases")


def test_the_first_failure_is_an_increase(shop: Shop) -> None:
    """The refusals above: of a series that was there before, from 0."""
    alert = 'ALERTS{alertname="OrderServiceOrderFailed",alertstate="firing"}'
    labels = "alertname=OrderServiceOrderFailed,alertstate=firing,severity=ticket"
    shop.reads(alert, {labels: 1}, "the alert")


def test_no_query_of_the_dashboard_is_empty(shop: Shop) -> None:
    """Traffic goes on meanwhile, since rates need it."""
    missing: list[str] = []

    def all_answered() -> bool:
        shop.post()
        shop.server.client.get("/orders/1")
        missing.clear()
        for query in QUERIES:
            found = shop.prometheus.query(query.replace("$__rate_interval", "10s"))
            if not found or all(map(math.isnan, found.values())):
                missing.append(query)
        return not missing

    try:
        wait_until(all_answered, SECONDS, "answers to all queries", every=0.3)
    except AssertionError:
        raise AssertionError(f"no answers to {missing}") from None


def test_what_the_rules_ask_for_is_there(shop: Shop) -> None:
    """A name that nobody tells makes an alert that never fires."""
    rules = "".join((CONFIGURATION / "rules" / f"{it}.yml").read_text() for it in RULES)
    names = set(re.findall(r"\b(?:order_service|process)_\w+", rules))
    assert len(names) > 10
    # Events are wanted by nobody here.
    missing = {name for name in names if not shop.prometheus.query(f"count({name})")}
    assert missing == {name for name in names if "event" in name and "deliveries" not in name}


def test_no_figure_is_lost_with_a_killed_process(shop: Shop) -> None:
    total = 'sum(order_service_http_requests_total{method="POST",code="201"})'
    posted = shop.fine + shop.refused
    shop.reads(total, {"": posted}, "requests before")
    before = shop.server.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(
        lambda: len(shop.server.workers()) == 2 and before[0] not in shop.server.workers(),
        SECONDS,
        "another process",
    )
    # Without the connections to the one that is gone.
    shop.server.client = Client(shop.server.port)
    for _ in range(4):
        shop.post()
    shop.reads(total, {"": posted + 4}, "requests after")
    increase = f"{total} == scalar(max_over_time({total}[1m:1s]))"
    shop.reads(increase, {"": posted + 4}, "a counter that never fell")
    shop.reads('count(process_start_time_seconds{role="app"})', {"": 2}, "processes")


def fires(shop: Shop, name: str) -> None:
    wait_until(lambda: name in shop.prometheus.firing(), SECONDS, f"{name} to fire", every=0.3)


def resolves(shop: Shop, name: str) -> None:
    wait_until(
        lambda: name not in shop.prometheus.firing(), SECONDS, f"{name} to resolve", every=0.3
    )


def test_a_pause_is_told_until_it_ends(shop: Shop) -> None:
    pool = urllib3.HTTPConnectionPool(HOST, shop.server.port, timeout=10)
    headers = shop.server.client.authorization
    for path, seen in (("pause", fires), ("resume", resolves)):
        body = {"reason": "a test"} if path == "pause" else {}
        answer = pool.request("POST", f"/processing/{path}", json=body, headers=headers)
        assert answer.status == 200, answer.data
        seen(shop, "OrderServicePaused")


def test_a_database_that_is_away_is_told_by_a_service_that_answers(shop: Shop) -> None:
    def rename(before: str, after: str) -> None:
        with closing(sqlite3.connect(shop.database, timeout=10)) as connection:
            connection.execute(f"ALTER TABLE {before} RENAME TO {after}")

    rename("order_totals", "totals_away")
    try:
        fires(shop, "OrderServiceDatabaseDown")
        assert "OrderServiceNotScraped" not in shop.prometheus.firing()
        assert len(up(shop.prometheus)) == 3
    finally:
        rename("totals_away", "order_totals")
    resolves(shop, "OrderServiceDatabaseDown")


def test_a_worker_that_is_gone_is_told_until_another_one_is_there(shop: Shop) -> None:
    shop.worker.kill9_group()
    fires(shop, "OrderServiceNotScraped")
    shop.worker.start()
    resolves(shop, "OrderServiceNotScraped")
    shop.post()
    done = 'sum(order_service_orders_finished_total{role="worker",status="Completed"})'
    shop.reads(f"{done} > bool 0", {"": 1}, "its first order")
