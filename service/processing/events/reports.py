"""What is said about deliveries that were recorded: figures, and a line in the log of a failure."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from service.storage.deliveries import Delivery
from service.storage.results import Verdict
from service.telemetry import metrics, tracing

log = logging.getLogger(__name__)

RESULTS = {
    Verdict.COMPLETE: "delivered",
    Verdict.RETRY: "retried",
    Verdict.FAIL: "failed",
    Verdict.PUT_ASIDE: "receiver_away",
}


def report(recorded: Sequence[Delivery]) -> None:
    """Report deliveries as they were recorded."""
    for one in recorded:
        if result := RESULTS.get(one.verdict):
            metrics.EVENT_DELIVERIES[result].inc()
        _log(one)


def _log(one: Delivery) -> None:
    event = one.event
    extra = {"order_id": event.order_id, **tracing.log_context(event.traceparent)}
    match one.verdict:
        case Verdict.FAIL:
            log.error("event %d (%s) failed: %s", event.id, event.type, one.error, extra=extra)
        case Verdict.RETRY:
            log.warning(
                "event %d (%s) not delivered, next in %.1f s: %s",
                event.id,
                event.type,
                one.delay,
                one.error,
                extra=extra,
            )
        case Verdict.PUT_ASIDE:
            log.warning(
                "the events' receiver is away, event %d waits %.1f s: %s",
                event.id,
                one.delay,
                one.error,
                extra=extra,
            )
