"""The service's own Prometheus metrics. Their sum over all worker processes is what counts.

Each value that a label can have counts from 0 from the beginning: Prometheus sees no increase in a
series that begins with its first event, so the first failure would raise no alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, values

from service.telemetry import worker_files

if worker_files.files() is not None:
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        process_identifier=worker_files.slot
    )
disable_created_metrics()  # type: ignore[no-untyped-call]

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# From an idle service to an outage of days.
DELAY_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 7200, 86400, 259200)
HANDLER_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# As service.storage.attempts has them, which is above this.
RESULTS = (
    *("completed", "failed", "rejected", "timed_out", "receiver_away", "given_back", "lost"),
)
POOLS = REQUESTS, PROCESSING = ("requests", "processing")


M = TypeVar("M", Counter, Gauge)


def _by(metric: M, label_values: tuple[str, ...]) -> Mapping[str, M]:
    return {value: metric.labels(value) for value in label_values}


HTTP_REQUESTS = Counter(
    "order_service_http_requests", "HTTP requests answered.", ["method", "route", "code"]
)
HTTP_SECONDS = Histogram(
    "order_service_http_request_duration_seconds",
    "Time from the request's arrival in the service to its answer.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
)
ORDERS_CLAIMED = Counter("order_service_orders_claimed", "Orders claimed, attempts counted apart.")
ORDERS_FINISHED = _by(
    Counter(
        "order_service_orders_finished",
        "Orders that attempts have ended, by their last status.",
        ["status"],
    ),
    ("Completed", "Failed"),
)
ORDERS_RETRIED = Counter(
    "order_service_orders_retried", "Attempts that failed and will be made again."
)
LEASES_LOST = Counter(
    "order_service_leases_lost", "Attempts whose order another process had taken over."
)
HANDLER_SECONDS = Histogram(
    "order_service_handler_duration_seconds",
    "Time that the order handler took for one attempt.",
    buckets=HANDLER_BUCKETS,
)
ATTEMPTS = _by(
    Counter("order_service_attempts", "Attempts that ended, by how.", ["result"]), RESULTS
)
START_SECONDS = Histogram(
    "order_service_start_delay_seconds",
    "Time from an order's acceptance to its first attempt.",
    buckets=DELAY_BUCKETS,
)
END_SECONDS = Histogram(
    "order_service_completion_delay_seconds",
    "Time from an order's acceptance to its completion.",
    buckets=DELAY_BUCKETS,
)
EVENT_DELIVERIES = _by(
    Counter(
        "order_service_event_deliveries",
        "Attempts to deliver an event, by how they ended.",
        ["result"],
    ),
    ("delivered", "retried", "failed", "receiver_away"),
)
DATABASE_CONFLICTS = _by(
    Counter(
        "order_service_database_conflicts", "Transactions stopped by another, by how.", ["reason"]
    ),
    ("deadlock", "lock_wait_timeout"),
)
# Those below are set once a second: see service.telemetry.sampler.
CONNECTIONS = _by(
    Gauge(
        "order_service_database_connections",
        "Connections to the database that are in use.",
        ["pool"],
        multiprocess_mode="livesum",
    ),
    POOLS,
)
CONNECTIONS_MOST = _by(
    Gauge(
        "order_service_database_connections_limit",
        "Connections to the database that may be in use at once.",
        ["pool"],
        multiprocess_mode="livesum",
    ),
    POOLS,
)
HANDLERS_RUNNING = Gauge(
    "order_service_handlers_running", "Order handlers that run.", multiprocess_mode="livesum"
)
PROCESSOR_THREADS = Gauge(
    "order_service_processor_threads",
    "Threads that run order handlers.",
    multiprocess_mode="livesum",
)
