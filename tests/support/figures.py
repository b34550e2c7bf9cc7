"""Figures as the service tells them about itself."""

from __future__ import annotations

from collections.abc import Mapping


def page(requests: Mapping[str, Mapping[float, float]] | None = None, **attempts: float) -> str:
    """Return figures in Prometheus' format: requests that took at most so many seconds, by method
    and route, and attempts at orders by their result."""
    lines = [
        f'order_service_attempts_total{{result="{result}"}} {float(count)}'
        for result, count in attempts.items()
    ]
    for name, counts in (requests or {}).items():
        method, route = name.split()
        for most, count in counts.items():
            labels = f'le="{str(most).replace("inf", "+Inf")}",method="{method}",route="{route}"'
            family = "order_service_http_request_duration_seconds_bucket"
            lines.append(f"{family}{{{labels}}} {float(count)}")
    return "\n".join(["# HELP order_service_attempts_total Attempts.", *lines, ""])
