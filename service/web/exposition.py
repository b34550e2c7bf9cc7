"""The metrics in Prometheus' formats: of all processes of this server, and of the database."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.storage.event_upkeep import EventFigures
from service.storage.fleet import Fleet
from service.storage.moments import MICROSECONDS
from service.storage.statistics import Statistics
from service.telemetry import worker_files

log = logging.getLogger(__name__)

SAME = "From the database, so the same from each server: take the max over servers, not the sum."
Figures = tuple[Statistics, Fleet]


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


class _ProcessesCollector(Collector):
    """Memory, descriptors, CPU time and start of each worker, by its place among them."""

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for slot, process in sorted(worker_files.living().items()):
            for found in ProcessCollector(pid=partial(int, process), registry=None).collect():
                family = families.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type)
                )
                for sample in found.samples:
                    family.add_sample(sample.name, {"worker": str(slot)}, sample.value)
        return families.values()


class _ServiceCollector(Collector):
    """What runs here, and the figures of the database: None while it is away."""

    def __init__(self, release: str, figures: Figures | None) -> None:
        self._release = release
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "order_service_build_info", "The release that serves, as a label.", labels=["release"]
        )
        build.add_metric([self._release], 1)
        yield build
        yield GaugeMetricFamily(
            "order_service_database_up",
            "1 when the database has answered for this page. 0: its figures are missing here.",
            value=self._figures is not None,
        )
        if self._figures is not None:
            statistics, fleet = self._figures
            yield from _of_orders(statistics)
            yield from _of_fleet(fleet)


def _of_orders(figures: Statistics) -> Iterator[Metric]:
    orders = GaugeMetricFamily(
        "order_service_orders",
        f"Stored orders by status, those in the archive included. {SAME}",
        labels=["status"],
    )
    orders.add_metric(["Pending"], figures.pending)
    orders.add_metric(["Processing"], figures.processing)
    orders.add_metric(["Completed"], figures.completed)
    orders.add_metric(["Failed"], figures.failed)
    orders.add_metric(["Cancelled"], figures.cancelled)
    yield orders
    yield CounterMetricFamily(
        "order_service_processing_seconds",
        f"What the order handler took for all completed orders. {SAME}",
        value=figures.processing_microseconds / MICROSECONDS,
    )
    yield _gauge(
        "oldest_due_order_age_seconds",
        "Since when the longest due of the pending orders has been due; 0 when none is.",
        figures.oldest_due_seconds,
    )
    yield _gauge("waiting_orders", "Pending orders that wait for a later attempt.", figures.waiting)


def _of_fleet(fleet: Fleet) -> Iterator[Metric]:
    yield _gauge("processors", "Processors that live.", fleet.processors)
    yield _gauge("paused", "1 while processing pauses.", fleet.state.paused)
    yield _gauge("receiver_away", "1 while the handler's receiver is away.", fleet.state.away)
    yield _gauge(
        "running_operations", "Operations on many orders that run.", fleet.running_operations
    )
    if fleet.events is not None:
        yield from _of_events(fleet.events)


def _of_events(figures: EventFigures) -> Iterator[Metric]:
    yield _gauge("waiting_events", "Events that are not delivered yet.", figures.waiting)
    yield _gauge(
        "oldest_due_event_age_seconds",
        "Since when the longest due of the waiting events has been due; 0 when none is.",
        figures.oldest_due_seconds,
    )
    yield _gauge("events_receiver_away", "1 while the receiver of events is away.", figures.away)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"order_service_{name}", f"{what} {SAME}", value=value)


def render(release: str, figures: Figures | None, accept: str) -> tuple[bytes, str]:
    """Return the exposition that the `Accept` header asks for, and its content type.

    `figures` are those of the database; None while it is away.
    """
    registry = CollectorRegistry()
    files = worker_files.files()
    if files is None:
        registry.register(REGISTRY)
    else:
        registry.register(_WorkersCollector(files))
        registry.register(_ProcessesCollector())
    registry.register(_ServiceCollector(release, figures))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
