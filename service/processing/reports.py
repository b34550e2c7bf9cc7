"""What is said about recorded results: figures, and a line in the log for each failure."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from service.storage.attempts import AttemptResult
from service.storage.models import OrderStatus
from service.storage.results import Result, Verdict
from service.telemetry import metrics

log = logging.getLogger(__name__)

LOST = "lease lost: another process has the order, so this attempt counts for nothing"


def report(results: Sequence[tuple[Result, Result | None]]) -> None:
    """Report results, each with what was recorded of it: None when its lease was lost."""
    kinds: Counter[AttemptResult] = Counter()
    statuses: Counter[OrderStatus] = Counter()
    for handed_in, result in results:
        claim = handed_in.claim
        if result is None:
            metrics.LEASES_LOST.inc()
            log.warning(LOST, extra={"order_id": claim.order_id, "attempt": claim.attempt})
            continue
        kinds[result.kind] += 1
        match result.verdict:
            case Verdict.COMPLETE:
                statuses[OrderStatus.COMPLETED] += 1
                metrics.END_SECONDS.observe(max(0.0, claim.waited + result.seconds))
            case Verdict.FAIL:
                statuses[OrderStatus.FAILED] += 1
            case Verdict.RETRY:
                metrics.ORDERS_RETRIED.inc()
        if result.verdict is not Verdict.COMPLETE:
            _log(result)
    for kind, number in kinds.items():
        metrics.ATTEMPTS.labels(result=kind.value).inc(number)
    for status, number in statuses.items():
        metrics.ORDERS_FINISHED.labels(status=status.value).inc(number)


def _log(result: Result) -> None:
    extra = {"order_id": result.claim.order_id, "attempt": result.claim.attempt}
    match result.verdict:
        case Verdict.FAIL:
            log.error("order failed: %s", result.error, extra=extra)
        case Verdict.RETRY:
            log.warning(
                "attempt failed, next in %.1f s: %s", result.delay, result.error, extra=extra
            )
        case Verdict.PUT_ASIDE:
            log.warning(
                "the receiver is away, the order waits %.1f s: %s",
                result.delay,
                result.error,
                extra=extra,
            )
        case Verdict.GIVE_BACK:
            log.info("order given back", extra=extra)
