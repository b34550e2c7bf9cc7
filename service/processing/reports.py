"""What is said about recorded results: figures, and a line in the log for each failure."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from service.storage.attempts import AttemptResult
from service.storage.models import OrderStatus
from service.storage.results import Result, Verdict
from service.telemetry import metrics

log = logging.getLogger(__name__)

LOST = "lease lost: another process has the order, so this attempt counts for nothing"


def report(handed_in: Sequence[Result], recorded: Sequence[Result | None]) -> None:
    """Report results, each with what was recorded of it: None when its lease was lost."""
    completed = 0
    for before, result in zip(handed_in, recorded, strict=True):
        if result is None:
            _report_lost(before)
        elif result.verdict is Verdict.COMPLETE:
            completed += 1
            metrics.END_SECONDS.observe(result.claim.waited + result.seconds)
        else:
            _report_unfinished(result)
    if completed:
        metrics.ATTEMPTS[AttemptResult.COMPLETED].inc(completed)
        metrics.ORDERS_FINISHED[OrderStatus.COMPLETED].inc(completed)


def _report_lost(result: Result) -> None:
    metrics.LEASES_LOST.inc()
    log.warning(LOST, extra=result.claim.log_context)


def _report_unfinished(result: Result) -> None:
    metrics.ATTEMPTS[result.kind].inc()
    if result.verdict is Verdict.FAIL:
        metrics.ORDERS_FINISHED[OrderStatus.FAILED].inc()
    elif result.verdict is Verdict.RETRY:
        metrics.ORDERS_RETRIED.inc()
    _log(result)


def _log(result: Result) -> None:
    extra = result.claim.log_context
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
