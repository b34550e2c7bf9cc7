"""The metrics in Prometheus' formats, summed over all processes of the server."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.storage.fleet import Fleet
from service.storage.moments import MICROSECONDS
from service.storage.statistics import Statistics
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

    def __init__(self, statistics: Statistics, fleet: Fleet) -> None:
        self._statistics = statistics
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        figures = self._statistics
        orders = GaugeMetricFamily(
            "order_service_orders", "Stored orders by status.", labels=["status"]
        )
        orders.add_metric(["Pending"], figures.pending)
        orders.add_metric(["Processing"], figures.processing)
        orders.add_metric(["Completed"], figures.completed)
        orders.add_metric(["Failed"], figures.failed)
        orders.add_metric(["Cancelled"], figures.cancelled)
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
            "Time since the longest due of the pending orders was due.",
            value=figures.oldest_due_seconds,
        )
        yield GaugeMetricFamily(
            "order_service_waiting_orders",
            "Pending orders that wait for a later attempt.",
            value=figures.waiting,
        )
        yield from self._collect_fleet()

    def _collect_fleet(self) -> Iterator[Metric]:
        fleet = self._fleet
        yield GaugeMetricFamily(
            "order_service_processors", "Processors that live.", value=fleet.processors
        )
        yield GaugeMetricFamily(
            "order_service_paused", "1 while processing pauses.", value=fleet.state.paused
        )
        yield GaugeMetricFamily(
            "order_service_receiver_away",
            "1 while the handler's receiver is away.",
            value=fleet.state.away,
        )
        yield GaugeMetricFamily(
            "order_service_running_operations",
            "Operations on many orders that run.",
            value=fleet.running_operations,
        )


def render(statistics: Statistics, fleet: Fleet, accept: str) -> tuple[bytes, str]:
    """Return the exposition that the `Accept` header asks for, and its content type."""
    registry = CollectorRegistry()
    files = worker_files.files()
    registry.register(REGISTRY if files is None else _WorkersCollector(files))
    registry.register(_StatisticsCollector(statistics, fleet))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
