"""SQL of the outbox: the events of orders that end, written by the transactions that end them.

Whether a database's transactions write events is a property of the engine, given once where the
engine is made (`write_events_on`). So no way to end an order can forget to pass it on.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Integer,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
)

from service.storage.models import BY_PRIMARY, Event, Order, OrderStatus
from service.storage.moments import utcnow

_WRITES_EVENTS = "order_service_writes_events"
# Of a message's id, beside its prefix.
_RANDOM_BYTES = 16


class EventState(StrEnum):
    """Where the delivery of an event is."""

    WAITING = "Waiting"
    DELIVERED = "Delivered"
    FAILED = "Failed"


def write_events_on(engine: Engine) -> None:
    """Have the transactions on this engine write an event of each order that they end."""
    engine.update_execution_options(**{_WRITES_EVENTS: True})


def writes_events(connection: Connection) -> bool:
    """Return whether the transactions on this connection write events."""
    return bool(connection.get_execution_options().get(_WRITES_EVENTS))


def write_events(connection: Connection, row_ids: Collection[int]) -> None:
    """Write an event of each of these orders (by their rows' `id`s), where events are written.

    The transaction has ended these orders. Where no events are written, this sends no statement.
    """
    if row_ids and writes_events(connection):
        connection.execute(_WRITE[connection.dialect.name], {"ids": sorted(row_ids)})


def _write(random_bytes: ColumnElement[Any]) -> Insert:
    failed = Order.outcome == OrderStatus.FAILED.value
    values: dict[str, Any] = {
        "message_id": literal("msg_") + func.lower(func.hex(random_bytes)),
        "type": literal("order.") + func.lower(Order.outcome),
        "order_id": Order.order_id,
        "user_id": Order.user_id,
        "order_attempts": Order.attempts,
        # A completed order may have an error of an earlier attempt.
        "order_error": case((failed, Order.last_error)),
        "traceparent": Order.traceparent,
        "state": literal(EventState.WAITING.value),
        "due_at": utcnow(),
        "created_at": utcnow(),
        "updated_at": utcnow(),
    }
    ended = (
        select(*(value.label(name) for name, value in values.items()))
        .with_hint(Order, BY_PRIMARY, "mysql")
        .where(Order.id.in_(bindparam("ids", type_=Integer, expanding=True)))
        .where(Order.outcome.is_not(None))
    )
    return insert(Event).from_select(list(values), ended)


# With READ COMMITTED the orders are read without locks: this transaction has changed them.
_WRITE = {
    "mysql": _write(func.random_bytes(_RANDOM_BYTES)),
    "sqlite": _write(func.randomblob(_RANDOM_BYTES)),
}
