"""The metrics in Prometheus' formats, summed over all processes of the server."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.storage.statistics import MICROSECONDS, Statistics

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class _StatisticsCollector(Collector):
    """The figures of the database, which are the same for all processes."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        figures = self._statistics
        orders = GaugeMetricFamily(
            "order_service_orders", "Stored orders by status.", labels=["status"]
        )
        orders.add_metric(["Pending"], figures.pending)
        orders.add_metric(["Processing"], figures.processing)
        orders.add_metric(["Completed"], figures.completed)
        orders.add_metric(["Failed"], figures.failed)
        yield orders
        yield GaugeMetricFamily(
            "order_service_total_orders", "All stored orders.", value=figures.total
        )
        yield GaugeMetricFamily(
            "order_service_processing_seconds_sum",
            "Processing time of all completed orders.",
            value=figures.processing_microseconds / MICROSECONDS,
        )
        yield GaugeMetricFamily(
            "order_service_avg_processing_time_seconds",
            "Mean processing time of the completed orders.",
            value=figures.average_processing_seconds,
        )
        yield GaugeMetricFamily(
            "order_service_queue_age_seconds",
            "Age of the oldest pending order.",
            value=figures.oldest_pending_seconds,
        )


def render(statistics: Statistics, accept: str) -> tuple[bytes, str]:
    """Return the exposition that the `Accept` header asks for, and its content type."""
    registry = CollectorRegistry()
    if os.environ.get(MULTIPROCESS_DIRECTORY):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(_StatisticsCollector(statistics))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
