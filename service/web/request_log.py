"""What every request leaves behind: its id, a log line and its share in the metrics."""

from __future__ import annotations

import logging
import time
from functools import cache

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from service.telemetry import metrics, request_id, tracing

log = logging.getLogger("service.access")

# What probes ask for, every few seconds.
UNTRACED_PATHS = frozenset({"/ping", "/healthz", "/readyz"})

UNKNOWN = ("unknown", "unknown")
FAILURES = (500, 503)
WITHOUT_FAILURES = {"HEAD", "OPTIONS"}


def init_app(app: Flask) -> None:
    """Register the hooks; first of all, so that the id is there for the others."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def count_failures_from_zero(app: Flask) -> None:
    """Have a counter for what each route may fail with, before it does: see telemetry.metrics."""
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - WITHOUT_FAILURES
    }
    for method, route in sorted({*routes, UNKNOWN}):
        for code in FAILURES:
            metrics.HTTP_REQUESTS.labels(method=method, route=route, code=code)


def _begin() -> None:
    g.started = time.perf_counter()
    request_id.current.set(request_id.choose(request.headers.get(request_id.HEADER)))
    given = request.environ.get(tracing.ENVIRON_KEY)
    if given is not None:
        tracing.current.set(tracing.accept(given))
    if tracing.spans is not None and request.path not in UNTRACED_PATHS:
        g.span = tracing.spans.begin_request(tracing.current.get(), request_id.current.get())


def _end(response: Response) -> Response:
    response.headers[request_id.HEADER] = request_id.current.get() or request_id.choose(None)
    seconds = time.perf_counter() - g.started
    # The rule, not the path: the number of time series must not grow with the orders.
    rule, method, status = request.url_rule, request.method, response.status_code
    requests, durations = _series(method, rule.rule, status) if rule else _series(*UNKNOWN, status)
    requests.inc()
    durations.observe(seconds)
    extra = {
        "method": method,
        "path": request.path,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
    }
    if "order_id" in g:
        extra["order_id"] = g.order_id
    log.info("request", extra=extra)
    if tracing.spans is not None and "span" in g:
        g.span.end(method, rule.rule if rule else None, status, g.get("order_id"))
    return response


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return (
        metrics.HTTP_REQUESTS.labels(method=method, route=route, code=status),
        metrics.HTTP_SECONDS.labels(method=method, route=route),
    )


def _forget(_error: BaseException | None) -> None:
    request_id.current.set(None)
    tracing.current.set(None)
