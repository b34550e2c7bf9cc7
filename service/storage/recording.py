"""SQL that records how attempts ended, whatever became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, case, update

from service.storage.absences import judge
from service.storage.attempts import EndedAttempt, insert_attempts
from service.storage.claims import ClaimKey
from service.storage.leases import lock_held
from service.storage.models import LAST_ERROR_LENGTH, Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.outbox import write_events
from service.storage.receiver import leave_probing, set_present
from service.storage.results import Result, Verdict
from service.storage.totals import add_totals
from service.storage.waiting import waiting_values


def record_results(
    connection: Connection, results: Sequence[Result], slot: int
) -> dict[ClaimKey, Result]:
    """Record the ends of attempts, all or none, and add them to the totals' row `slot`.

    Needs a transaction. A result whose claim is no longer held changes nothing.

    Returns:
        The results that were recorded, now or before, as they were decided, by their claims' keys.
    """
    standing = lock_held(connection, [result.claim for result in results])
    held = _decide(connection, [one for one in results if one.claim.key in standing.held])
    of = {verdict: [one for one in held if one.verdict is verdict] for verdict in Verdict}
    _complete(connection, of[Verdict.COMPLETE])
    for result in of[Verdict.FAIL]:
        _end_attempt(connection, result, outcome=OrderStatus.FAILED.value)
    for result in of[Verdict.RETRY]:
        _end_attempt(connection, result, **waiting_values(result.delay))
    for result in of[Verdict.PUT_ASIDE]:
        given_back = {"attempts": Order.attempts - 1}
        _end_attempt(connection, result, **given_back, **waiting_values(result.delay))
    _give_back(connection, of[Verdict.GIVE_BACK])
    insert_attempts(connection, [_ended(result) for result in held if _is_worth_keeping(result)])
    finished = (*of[Verdict.COMPLETE], *of[Verdict.FAIL])
    write_events(connection, [result.claim.id for result in finished])
    _count(connection, of, slot)
    ended = [one for one in results if one.claim.key in standing.ended]
    return {result.claim.key: result for result in (*ended, *held)}


def _decide(connection: Connection, results: Sequence[Result]) -> list[Result]:
    """Have the results changed that depend on the receiver, whose state depends on them."""
    if any(result.probe and result.shows_receiver for result in results):
        set_present(connection)
    met_absence = [result for result in results if result.absence]
    decided = judge(connection, met_absence) if met_absence else []
    for result in results:
        if result.probe and result.worker:
            leave_probing(connection, result.worker)
    return [*decided, *(result for result in results if not result.absence)]


def _count(connection: Connection, of: dict[Verdict, list[Result]], slot: int) -> None:
    completed, failed = of[Verdict.COMPLETE], of[Verdict.FAIL]
    waiting = len(of[Verdict.RETRY]) + len(of[Verdict.PUT_ASIDE])
    if completed or failed or waiting:
        add_totals(
            connection,
            slot=slot,
            completed=len(completed),
            failed=len(failed),
            waiting=waiting,
            processing_microseconds=sum(result.microseconds for result in completed),
        )


def _is_worth_keeping(result: Result) -> bool:
    # Of a handler that did not begin there is nothing to tell.
    return result.verdict is not Verdict.COMPLETE and result.seconds > 0


def _ended(result: Result) -> EndedAttempt:
    claim = result.claim
    return EndedAttempt(
        claim.id, claim.attempt, result.seconds, result.kind, result.error, result.worker
    )


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
