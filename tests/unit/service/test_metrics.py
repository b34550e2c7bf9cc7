"""The service's own metrics: each value of a label counts from the beginning, and they fit."""

from __future__ import annotations

import threading
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from service.app import create_app
from service.storage.attempts import AttemptResult
from service.storage.database import RETRYABLE
from service.storage.models import OrderStatus
from service.telemetry import metrics, worker_files
from service.telemetry.sampler import start_sampler
from tests.support.databases import settings_for
from tests.support.polling import wait_until


def test_the_values_of_labels_are_the_storages() -> None:
    assert list(metrics.ATTEMPTS) == [result.value for result in AttemptResult]
    assert list(metrics.ORDERS_FINISHED) == [OrderStatus.COMPLETED, OrderStatus.FAILED]
    assert sorted(metrics.DATABASE_CONFLICTS) == sorted(name for name, _ in RETRYABLE.values())


def test_what_a_route_fails_with_counts_from_zero(tmp_path: Path) -> None:
    app = create_app(settings_for(f"sqlite:///{tmp_path}/orders.db"))
    routes = {(m, rule.rule) for rule in app.url_map.iter_rules() for m in rule.methods or ()}
    assert ("POST", "/orders") in routes
    for method, route in {*routes, ("unknown", "unknown")}:
        for code in ("500", "503"):
            labels = {"method": method, "route": route, "code": code}
            found = REGISTRY.get_sample_value("order_service_http_requests_total", labels)
            assert (found is None) == (method in ("HEAD", "OPTIONS")), labels


def test_all_series_fit_into_a_workers_files(tmp_path: Path) -> None:
    """Several times: each route has answered with ten codes, and its latencies are known."""
    app = create_app(settings_for(f"sqlite:///{tmp_path}/orders.db"))
    routes = sum(len(rule.methods or ()) for rule in app.url_map.iter_rules())
    of_a_series = 400  # bytes: its name, labels and help
    assert routes * 10 * of_a_series < worker_files.FILE_SIZE
    assert routes * (len(metrics.LATENCY_BUCKETS) + 3) * of_a_series < worker_files.FILE_SIZE


def test_a_sampler_looks_until_it_is_told_to_end() -> None:
    gauge = Gauge("looked", "How often.", registry=CollectorRegistry())
    looks: list[int] = []

    def look() -> float:
        looks.append(1)
        return len(looks)

    end = start_sampler({gauge: look}, seconds=0.001)
    wait_until(lambda: len(looks) > 2, 10, "three looks")
    end.set()
    wait_until(
        lambda: not any(one.name == "sampler" for one in threading.enumerate()), 10, "its end"
    )
    assert gauge.collect()[0].samples[0].value == len(looks)  # type: ignore[index]
