"""The metrics in Prometheus' formats, summed over all processes of the server."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.storage.statistics import MICROSECONDS, Statistics
from service.telemetry import worker_files

log = logging.getLogger(__name__)


class _WorkersCollector(Collector):
    """The figures that the workers of this server have counted, summed up."""

    def __init__(self, files: list[str]) -> None:
        self._files = files

    def collect(self) -> Iterable[Metric]:
        try:
            return _merge(self._files)
        except Exception:  # noqa: BLE001 - one worker's file must not cost all the others'
            return _merge([file for file in self._files if _is_sound(file)])


def _merge(files: list[str]) -> Iterable[Metric]:
    merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return merged


def _is_sound(file: str) -> bool:
    try:
        _merge([file])
    except Exception as problem:  # noqa: BLE001 - it may hold anything
        log.warning("left out of the metrics: %s (%r)", file, problem)
        return False
    return True


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
    files = worker_files.files()
    registry.register(REGISTRY if files is None else _WorkersCollector(files))
    registry.register(_StatisticsCollector(statistics))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
