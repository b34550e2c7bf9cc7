"""SQL of the results: record how attempts ended, whatever became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection, case, literal, update

from service.storage.claims import Claim, ClaimKey, lock_held
from service.storage.models import LAST_ERROR_LENGTH, Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.totals import add_totals


class Verdict(Enum):
    """What becomes of an order after an attempt."""

    COMPLETE = "complete"
    RETRY = "retry"
    FAIL = "fail"
    GIVE_BACK = "give back"


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an attempt.

    `microseconds` is the handler's time; `delay` the seconds before a retry. An order that is
    given back gets its attempt back as well: a stop is not the order's fault.
    """

    claim: Claim
    verdict: Verdict
    microseconds: int = 0
    error: str | None = None
    delay: float = 0.0


def record_results(connection: Connection, results: Sequence[Result], slot: int) -> set[ClaimKey]:
    """Record the ends of attempts, all or none, and add them to the totals' row `slot`.

    Needs a transaction. A result whose claim is no longer held changes nothing.

    Returns:
        The keys of the claims whose results were recorded.
    """
    held = lock_held(connection, [result.claim for result in results])
    valid = [result for result in results if result.claim.key in held]
    completed = [result for result in valid if result.verdict is Verdict.COMPLETE]
    failed = [result for result in valid if result.verdict is Verdict.FAIL]
    _complete(connection, completed)
    for result in failed:
        _end_attempt(connection, result, outcome=OrderStatus.FAILED.value)
    for result in valid:
        if result.verdict is Verdict.RETRY:
            _end_attempt(connection, result, available_at=utcnow(literal(result.delay)))
    _give_back(connection, [result for result in valid if result.verdict is Verdict.GIVE_BACK])
    if completed or failed:
        add_totals(
            connection,
            slot=slot,
            completed=len(completed),
            failed=len(failed),
            microseconds=sum(result.microseconds for result in completed),
        )
    return held


def _complete(connection: Connection, results: Sequence[Result]) -> None:
    if not results:
        return
    times = {result.claim.id: result.microseconds for result in results}
    connection.execute(
        update(Order)
        .where(Order.id.in_(sorted(times)))
        .values(
            outcome=OrderStatus.COMPLETED.value,
            lease_owner=None,
            processing_microseconds=case(times, value=Order.id),
            updated_at=utcnow(),
        )
    )


def _end_attempt(connection: Connection, result: Result, **values: object) -> None:
    connection.execute(
        update(Order)
        .where(Order.id == result.claim.id)
        .values(
            lease_owner=None,
            fence=Order.fence + 1,
            last_error=(result.error or "")[:LAST_ERROR_LENGTH],
            updated_at=utcnow(),
            **values,
        )
    )


def _give_back(connection: Connection, results: Iterable[Result]) -> None:
    ids = sorted(result.claim.id for result in results)
    if ids:
        connection.execute(
            update(Order)
            .where(Order.id.in_(ids))
            .values(
                lease_owner=None,
                fence=Order.fence + 1,
                attempts=Order.attempts - 1,
                available_at=utcnow(),
                updated_at=utcnow(),
            )
        )
