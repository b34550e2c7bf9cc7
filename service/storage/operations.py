"""SQL of the operations: retries and cancellations of all orders that match a filter.

An operation walks the orders in the order of their rows, a batch in each transaction, and the place
that it has reached is stored in the same transaction. So it goes on where it was, whoever dies, and
meets each order once: one that fails again meanwhile is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from service.storage import audit, order_changes
from service.storage.audit import Act
from service.storage.models import BY_OUTCOME, Operation, Order, OrderStatus
from service.storage.moments import parse_moment, utcnow

# Rows that are looked at in one transaction, whether they match or not: others wait for its commit.
BATCH = 100


class Action(StrEnum):
    """What an operation does to each order."""

    RETRY = "retry"
    CANCEL = "cancel"


class OperationState(StrEnum):
    """Where an operation is."""

    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


# The statuses that an action can be about; the first is meant when none is named.
STATUSES = {
    Action.RETRY: (OrderStatus.FAILED, OrderStatus.PENDING),
    Action.CANCEL: (OrderStatus.PENDING,),
}


@dataclass(frozen=True, slots=True)
class NewOperation:
    """What is asked for, and by whom. `filter` is as the API has it, without what is not set."""

    action: Action
    filter: Mapping[str, Any]
    requested_by: str
    new_key: bool = False


_ALL = select(
    Operation.id,
    Operation.action,
    Operation.filter,
    Operation.new_key,
    Operation.state,
    Operation.last_row,
    Operation.end_row,
    Operation.changed,
    Operation.skipped,
    Operation.requested_by,
    Operation.stopped_by,
    Operation.error,
    Operation.created_at,
    Operation.updated_at,
    Operation.finished_at,
)
# How many operations run.
running_number = (
    select(func.count(Operation.id))
    .where(Operation.state == OperationState.RUNNING.value)
    .scalar_subquery()
)
_TO_RUN = select(
    Operation.action, Operation.filter, Operation.new_key, Operation.last_row, Operation.end_row
).where(Operation.state == OperationState.RUNNING.value)


def insert_operation(connection: Connection, new: NewOperation) -> int:
    """Store an operation, for the processors to run, and record who asks for it; return its id.

    Needs a transaction.
    """
    stored = connection.execute(
        insert(Operation).values(
            action=new.action.value,
            filter=dict(new.filter),
            new_key=int(new.new_key),
            state=OperationState.RUNNING.value,
            last_row=0,
            end_row=newest_row(connection),
            changed=0,
            skipped=0,
            requested_by=new.requested_by[:255],
            created_at=utcnow(),
            updated_at=utcnow(),
        )
    )
    number = int(stored.lastrowid)
    key = ", with a new key" if new.new_key else ""
    detail = f"{new.action} {json.dumps(dict(new.filter))}{key}"
    audit.record(connection, new.requested_by, Act.OPERATION_CREATE, number, detail)
    return number


def get_operation(connection: Connection, number: int) -> Row[*tuple[Any, ...]] | None:
    """Return the operation, or None when there is no such."""
    return connection.execute(_ALL.where(Operation.id == number)).first()


def list_operations(
    connection: Connection, *, limit: int, before: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return at most `limit` operations, newest first; those before `before` if that is given."""
    query = _ALL.order_by(Operation.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Operation.id < before)
    return connection.execute(query).all()


def stop_operation(connection: Connection, number: int, by: str) -> None:
    """Have the operation stopped where it is, if it runs, and record who does.

    Needs a transaction.
    """
    if _end(connection, number, OperationState.STOPPED, stopped_by=by[:255]):
        audit.record(connection, by, Act.OPERATION_STOP, number)


def running() -> Select[int]:
    """Select the operations that run."""
    return select(Operation.id).where(Operation.state == OperationState.RUNNING.value)


def find_work(connection: Connection, runner: str, seconds: float) -> int | None:
    """Return the oldest operation that runs and that no other processor works on, or None.

    `seconds` is for how long a processor keeps one to itself.
    """
    free = or_(
        Operation.runner.is_(None),
        Operation.runner == runner,
        Operation.runner_until <= utcnow(),
        # Written before the clock was set back.
        Operation.runner_until > utcnow(literal(seconds + 1.0, Float)),
    )
    number: int | None = connection.execute(
        running().where(free).order_by(Operation.id).limit(1)
    ).scalar()
    return number


def run_batch(
    connection: Connection, number: int, *, runner: str, seconds: float, slot: int
) -> bool:
    """Deal with the operation's next orders; return whether there is more. Needs a transaction.

    `runner` keeps the operation to itself for so many seconds more.
    """
    row = connection.execute(_TO_RUN.where(Operation.id == number).with_for_update()).first()
    if row is None:
        return False
    action = Action(row.action)
    status = status_of(action, row.filter)
    candidates = rows_with_status(status, row.last_row, row.end_row, BATCH)
    looked_at = connection.execute(candidates).scalars().all()
    matching = _matching(connection, looked_at, matches(action, status, row.filter))
    if action is Action.RETRY:
        new_key = bool(row.new_key)
        change = order_changes.retry(connection, matching, new_key=new_key, slot=slot)
    else:
        change = order_changes.cancel(connection, matching, slot=slot)
    ended = len(looked_at) < BATCH
    values: dict[str, Any] = {
        "last_row": looked_at[-1] if looked_at else row.last_row,
        "changed": Operation.changed + change.changed,
        "skipped": Operation.skipped + change.skipped,
        "updated_at": utcnow(),
        "runner": runner,
        "runner_until": utcnow(literal(seconds, Float)),
    }
    if ended:
        values |= {"state": OperationState.COMPLETED.value, "finished_at": utcnow()}
    connection.execute(update(Operation).where(Operation.id == number).values(**values))
    return not ended


def fail_operation(connection: Connection, number: int, error: str) -> None:
    """Note that the operation cannot go on, and why."""
    _end(connection, number, OperationState.FAILED, error=error[:1000])


def _end(connection: Connection, number: int, state: OperationState, **values: str) -> bool:
    ended = connection.execute(
        update(Operation)
        .where(Operation.id == number, Operation.state == OperationState.RUNNING.value)
        .values(state=state.value, updated_at=utcnow(), finished_at=utcnow(), **values)
    )
    return ended.rowcount > 0


def status_of(action: Action, filters: Mapping[str, Any]) -> OrderStatus:
    """Return the status of the orders that an operation is about."""
    return OrderStatus(filters.get("status", STATUSES[action][0].value))


def rows_with_status(status: OrderStatus, after: int, end: int, limit: int) -> Select[int]:
    """Select the `id`s of the next orders with that status, whatever else a filter asks for."""
    outcome = None if status is OrderStatus.PENDING else status.value
    return (
        select(Order.id)
        .with_hint(Order, BY_OUTCOME, "mysql")
        .where(Order.outcome.is_(outcome) if outcome is None else Order.outcome == outcome)
        .where(Order.id > after, Order.id <= end)
        .order_by(Order.id)
        .limit(limit)
    )


def matches(
    action: Action, status: OrderStatus, filters: Mapping[str, Any]
) -> list[ColumnElement[bool]]:
    """Return what a filter asks for besides `rows_with_status`."""
    conditions: list[ColumnElement[bool]] = []
    if status is OrderStatus.PENDING:
        conditions.append(Order.lease_owner.is_(None))
        if action is Action.RETRY:  # what is due needs none
            conditions.append(Order.next_attempt_at.is_not(None))
    if "user_id" in filters:
        conditions.append(Order.user_id == filters["user_id"])
    if "created_from" in filters:
        conditions.append(Order.created_at >= parse_moment(filters["created_from"]))
    if "created_to" in filters:
        conditions.append(Order.created_at < parse_moment(filters["created_to"]))
    if "error_contains" in filters:
        conditions.append(func.instr(Order.last_error, filters["error_contains"]) > 0)
    return conditions


def count_matching(
    connection: Connection, new: NewOperation, after: int, end: int, limit: int
) -> tuple[int, int]:
    """Count what an operation would change among its next `limit` rows.

    Returns:
        The number, and the last of those rows; 0 when there is none any more.
    """
    status = status_of(new.action, new.filter)
    rows = connection.execute(rows_with_status(status, after, end, limit)).scalars().all()
    found = _matching(connection, rows, matches(new.action, status, new.filter))
    return len(found), rows[-1] if rows else 0


def newest_row(connection: Connection) -> int:
    """Return the `id` of the newest order, or 0."""
    return int(connection.execute(select(func.coalesce(func.max(Order.id), 0))).scalar_one())


def _matching(
    connection: Connection, row_ids: Sequence[int], conditions: Sequence[ColumnElement[bool]]
) -> Sequence[int]:
    if not conditions or not row_ids:
        return row_ids
    query = select(Order.id).where(Order.id.in_(row_ids), *conditions).order_by(Order.id)
    return connection.execute(query).scalars().all()
