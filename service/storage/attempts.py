"""SQL of the attempts that did not complete their orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Float, Row, bindparam, delete, insert, select

from service.storage.models import LAST_ERROR_LENGTH, OrderAttempt, OrderStatus
from service.storage.moments import utcnow


class AttemptResult(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    RECEIVER_AWAY = "receiver_away"
    GIVEN_BACK = "given_back"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended now, `seconds` after it had begun. `order_row` is the order's `id`."""

    order_row: int
    attempt: int
    seconds: float
    result: AttemptResult
    error: str | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class CompletedAttempt:
    """The attempt that completed its order, as the order itself tells it."""

    attempt: int
    started_at: datetime
    ended_at: datetime
    result: str = AttemptResult.COMPLETED.value
    error: None = None
    worker: None = None


_INSERT = insert(OrderAttempt).values(
    order_row=bindparam("order_row"),
    attempt=bindparam("attempt"),
    started_at=utcnow(bindparam("since", type_=Float)),
    ended_at=utcnow(),
    result=bindparam("result"),
    error=bindparam("error"),
    worker=bindparam("worker"),
)
_OF_ORDER = select(
    OrderAttempt.attempt,
    OrderAttempt.started_at,
    OrderAttempt.ended_at,
    OrderAttempt.result,
    OrderAttempt.error,
    OrderAttempt.worker,
).order_by(OrderAttempt.id)


def insert_attempts(connection: Connection, attempts: Sequence[EndedAttempt]) -> None:
    """Store how attempts ended."""
    if not attempts:
        return
    connection.execute(
        _INSERT,
        [
            {
                "order_row": one.order_row,
                "attempt": one.attempt,
                "since": -max(0.0, one.seconds),
                "result": one.result.value,
                "error": one.error and one.error[:LAST_ERROR_LENGTH],
                "worker": one.worker,
            }
            for one in attempts
        ],
    )


def list_attempts(connection: Connection, order_row: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the attempts at the order that did not complete it, oldest first."""
    return connection.execute(_OF_ORDER.where(OrderAttempt.order_row == order_row)).all()


def all_attempts(
    connection: Connection, order: Row[*tuple[Any, ...]]
) -> list[Row[*tuple[Any, ...]] | CompletedAttempt]:
    """Return all attempts at an order, a row of `service.storage.orders`, oldest first.

    The one that completed it is told from the order itself.
    """
    found: list[Row[*tuple[Any, ...]] | CompletedAttempt] = [*list_attempts(connection, order.id)]
    if order.status == OrderStatus.COMPLETED.value:
        took = timedelta(microseconds=order.processing_microseconds or 0)
        ended = order.updated_at
        found.append(CompletedAttempt(order.attempts, ended - took, ended))
    return found


def count_absences(connection: Connection, order_rows: Collection[int]) -> Counter[int]:
    """Return how often each of these orders is known to have met a receiver that was away."""
    found = connection.execute(
        select(OrderAttempt.order_row).where(
            OrderAttempt.order_row.in_(order_rows),
            OrderAttempt.result == AttemptResult.RECEIVER_AWAY.value,
        )
    )
    return Counter(row.order_row for row in found)


def delete_attempts(connection: Connection, order_rows: Collection[int]) -> None:
    """Delete the attempts at these orders."""
    connection.execute(delete(OrderAttempt).where(OrderAttempt.order_row.in_(order_rows)))
