"""What every request leaves behind: its id, a log line and its share in the metrics."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, request

from service import metrics, request_id

log = logging.getLogger("service.access")


def init_app(app: Flask) -> None:
    """Register the hooks; first of all, so that the id is there for the others."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    g.started = time.perf_counter()
    request_id.current.set(request_id.choose(request.headers.get(request_id.HEADER)))


def _end(response: Response) -> Response:
    response.headers[request_id.HEADER] = request_id.current.get() or request_id.choose(None)
    seconds = time.perf_counter() - g.started
    # The rule, not the path: the number of time series must not grow with the orders.
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.url_rule else "unknown"
    metrics.HTTP_REQUESTS.labels(method=method, route=route, status=response.status_code).inc()
    metrics.HTTP_SECONDS.labels(method=method, route=route).observe(seconds)
    extra = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "milliseconds": round(seconds * 1000, 2),
    }
    if "order_id" in g:
        extra["order_id"] = g.order_id
    log.info("request", extra=extra)
    return response


def _forget(_error: BaseException | None) -> None:
    request_id.current.set(None)
