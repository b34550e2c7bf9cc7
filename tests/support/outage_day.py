"""A database as operators find it on the day after an outage: something for each page to show."""

from __future__ import annotations

import math
import time

from sqlalchemy import Connection, insert, update

from service.storage import operations, processing_state
from service.storage.attempts import AttemptResult, EndedAttempt, insert_attempts
from service.storage.models import Event, Operation, Order, OrderStatus, Sample
from service.storage.moments import utcnow
from service.storage.operations import Action, NewOperation, OperationState
from tests.support.inspection import Store
from tests.support.states import claim, row_of
from tests.support.stored_orders import add_finished, add_waiting

COMPLETED = range(1, 2001)
TIMED_OUT = range(3001, 3413)
REFUSED = range(4001, 4097)
# What a handler said to it is a page's trap.
TRAP = 5001
WAITING = range(6001, 6041)
IN_WORK = range(7001, 7004)
PENDING = range(8001, 8121)
LARGEST = 2**63 - 1

TIMEOUT = "TimeoutError: webhook: read timed out after 10 s"
REFUSAL = "ConnectionError: webhook: answered with status 500"
SCRIPT = "Unexpected: <script>document.title = 'owned'</script> & <b>more</b>"
REASON = "The webhook is down"
SAMPLED_MINUTES = 24 * 60


def fill(store: Store) -> None:
    """Store it all. Nothing is in work by a real processor, and processing pauses."""
    add_finished(store, COMPLETED, OrderStatus.COMPLETED)
    add_finished(store, TIMED_OUT, OrderStatus.FAILED, last_error=TIMEOUT)
    add_finished(store, REFUSED, OrderStatus.FAILED, last_error=REFUSAL)
    add_finished(store, [TRAP], OrderStatus.FAILED, last_error=SCRIPT, days=0.01)
    add_finished(store, [LARGEST], OrderStatus.CANCELLED)
    store.add_orders(IN_WORK)
    claim(store, len(IN_WORK), owner="orders-1:4711:0c1e77aa", lease_seconds=3600)
    store.add_orders(PENDING, user_id=456)
    add_waiting(store, WAITING)
    store.run(lambda its: processing_state.pause(its, "anna", REASON))
    store.run(_add_history)
    trap = row_of(store, TRAP)
    ended = [
        EndedAttempt(
            trap, number, 100.0 - number, AttemptResult.FAILED, text, "orders-1:4711:0c1e77aa"
        )
        for number, text in enumerate((TIMEOUT, REFUSAL, SCRIPT), 1)
    ]
    store.run(lambda its: insert_attempts(its, ended))
    posted = update(Order).where(Order.id == trap).values(client="shop", updated_at=utcnow())
    store.run(lambda its: its.execute(posted))


def _add_history(connection: Connection) -> None:
    new = NewOperation(Action.RETRY, {"status": "Failed", "error_contains": "500"}, "anna")
    number = operations.insert_operation(connection, new)
    ended = {"state": OperationState.COMPLETED.value, "changed": 96, "finished_at": utcnow()}
    connection.execute(update(Operation).where(Operation.id == number).values(ended))
    event = {
        "message_id": "evt_1",
        "type": "order.failed",
        "order_id": TRAP,
        "user_id": 1,
        "order_attempts": 1,
        "order_error": SCRIPT,
        "state": "Failed",
        "attempts": 13,
        "absences": 0,
        "last_status": 500,
        "last_error": SCRIPT,
        "created_at": utcnow(),
        "updated_at": utcnow(),
        "due_at": utcnow(),
    }
    connection.execute(insert(Event).values(event))
    connection.execute(insert(Sample), list(map(_sample, range(SAMPLED_MINUTES))))


def _sample(ago: int) -> dict[str, float]:
    """Return the figures of so many minutes ago: an outage of 20 minutes began 45 minutes ago."""
    away = max(0, min(20, 45 - ago))
    wave = 90 + 30 * math.sin(ago / 40) + 12 * math.sin(ago * 1.7)
    return {
        "minute": int(time.time() // 60) - ago,
        "pending": max(0, away * 60 - 15 * max(0, 25 - ago)) + ago % 7,
        "processing": ago % 8,
        "completed": 1_000_000 - 100 * ago - int(wave) - 60 * (20 - away if ago < 45 else 20),
        "failed": 900 - (8 * ago if ago < 45 else 360),
        "cancelled": 1,
        "waiting": 40 if ago < 45 else 0,
        "oldest_due_seconds": 60.0 * away if ago > 25 else max(0.2, 50.0 * ago - 200),
    }
