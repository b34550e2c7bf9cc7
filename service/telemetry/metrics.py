"""The service's own Prometheus metrics. Their sum over all worker processes is what counts."""

from prometheus_client import Counter, Histogram, values

from service.telemetry import worker_files

if worker_files.files() is not None:
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        process_identifier=worker_files.slot
    )

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# From an idle service to an outage of days.
DELAY_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 7200, 86400, 259200)
HANDLER_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Counter(
    "order_service_http_requests", "HTTP requests answered.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "order_service_http_request_duration_seconds",
    "Time from the request's arrival in the service to its answer.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
)
ORDERS_CLAIMED = Counter("order_service_orders_claimed", "Orders claimed, attempts counted apart.")
ORDERS_FINISHED = Counter(
    "order_service_orders_finished",
    "Orders that attempts have ended, by their last status.",
    ["status"],
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
ATTEMPTS = Counter("order_service_attempts", "Attempts that ended, by how.", ["result"])
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
DATABASE_CONFLICTS = Counter(
    "order_service_database_conflicts", "Transactions stopped by another, by how.", ["reason"]
)
