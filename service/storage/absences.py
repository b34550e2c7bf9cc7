"""What becomes of orders that met a receiver which is away. Decided in the database, for all.

The receiver's absence costs no attempt: such an order is put aside until after the next try, so
that another order makes that one, and nothing is claimed before. An order that meets it again while
others succeed is alone with it, and its attempt has failed as any other. So has one that was the
first sign too often, though the others found the receiver there each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from service.storage.attempts import count_absences
from service.storage.receiver import is_alone, note_absences
from service.storage.results import Absence, Result, Verdict

# Seconds that an order stays aside longer than the receiver is left alone.
ASIDE_LONGER = 1.0


def judge(connection: Connection, results: Sequence[Result]) -> list[Result]:
    """Return what becomes of each of these results, all of which have an `absence`.

    The first sign of an absence, and a try that failed, set until when the receiver is left alone.
    Needs a transaction, in which the orders are locked already.
    """
    known = count_absences(connection, [one.claim.id for one in results])
    met = [(one, one.absence) for one in results if one.absence]
    away, pause = note_absences(
        connection,
        [absence for _, absence in met],
        probe=any(one.probe for one in results),
    )
    decided = []
    for one, absence in met:
        times = known[one.claim.id]
        if is_alone(absence, times) and not away:
            decided.append(_fail(one, absence))
        else:
            decided.append(_put_aside(one, pause, keep=not times or not away))
    return decided


def _fail(result: Result, absence: Absence) -> Result:
    delay = max(absence.delay, absence.retry_after)
    return replace(result, verdict=absence.verdict, delay=delay)


def _put_aside(result: Result, pause: float, *, keep: bool) -> Result:
    # Of the tries of one absence, which may last for days, not each is kept.
    seconds = result.seconds if keep else 0.0
    return replace(result, verdict=Verdict.PUT_ASIDE, delay=pause + ASIDE_LONGER, seconds=seconds)
