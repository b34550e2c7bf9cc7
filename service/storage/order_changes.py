"""SQL of what operators and clients change about orders: put them back, and cancel them.

Orders are locked by primary key, in ascending order, before anything of them is changed. So a claim
of the same moment comes either before, and the order is Processing, or after, and finds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from service.storage import audit
from service.storage.audit import Act
from service.storage.models import BY_PRIMARY, Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.outbox import write_events
from service.storage.totals import add_totals


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: to how many orders, and how many were in another status by then."""

    changed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class OneChange:
    """Whether an order was changed, and the status that it has then."""

    changed: bool
    status: OrderStatus


class PostedByAnother(Exception):
    """Another client posted the order."""


def retry(
    connection: Connection, row_ids: Collection[int], *, new_key: bool = False, slot: int = 0
) -> Change:
    """Put failed orders back as Pending, with all their attempts before them; and have those that
    wait for a later attempt make it now. Needs a transaction.

    With `new_key` the handler gets another idempotency token than before.
    """
    rows = _lock(connection, row_ids)
    failed = [row.id for row in rows if row.outcome == OrderStatus.FAILED.value]
    waiting = [row.id for row in rows if row.outcome is None and row.next_attempt_at is not None]
    key = {"key_version": Order.key_version + 1} if new_key else {}
    due = {"next_attempt_at": None, "available_at": utcnow(), "updated_at": utcnow()}
    _change(connection, failed, outcome=None, attempts=0, **due, **key)
    _change(connection, waiting, **due, **key)
    if failed or waiting:
        add_totals(connection, slot=slot, failed=-len(failed), waiting=-len(waiting))
    changed = len(failed) + len(waiting)
    return Change(changed, len(row_ids) - changed)


def cancel(connection: Connection, row_ids: Collection[int], *, slot: int = 0) -> Change:
    """Cancel the orders that nobody works on yet. Needs a transaction."""
    rows = _lock(connection, row_ids)
    free = [row for row in rows if row.outcome is None and row.lease_owner is None]
    waiting = sum(row.next_attempt_at is not None for row in free)
    ended = [row.id for row in free]
    _change(
        connection,
        ended,
        outcome=OrderStatus.CANCELLED.value,
        next_attempt_at=None,
        updated_at=utcnow(),
    )
    write_events(connection, ended)
    if free:
        add_totals(connection, slot=slot, cancelled=len(free), waiting=-waiting)
    return Change(len(free), len(row_ids) - len(free))


def retry_one(
    connection: Connection, order_id: int, who: str, *, new_key: bool = False
) -> OneChange | None:
    """Do to one order what `retry` does, and record who did. Needs a transaction.

    Returns:
        None when there is no such order.
    """
    row = _find(connection, order_id)
    if row is None:
        return None
    changed = retry(connection, [row.id], new_key=new_key).changed > 0
    if changed:
        detail = "with a new key" if new_key else None
        audit.record(connection, who, Act.ORDER_RETRY, order_id, detail)
    return OneChange(changed, _status_of(connection, row.id))


def cancel_one(
    connection: Connection, order_id: int, who: str, *, client: str | None = None
) -> OneChange | None:
    """Cancel one order, if nobody works on it yet, and record who did. Needs a transaction.

    Returns:
        None when there is no such order.

    Raises:
        PostedByAnother: than this client, if one is given.
    """
    row = _find(connection, order_id)
    if row is None:
        return None
    if client is not None and row.client != client:
        raise PostedByAnother
    changed = cancel(connection, [row.id]).changed > 0
    if changed:
        audit.record(connection, who, Act.ORDER_CANCEL, order_id)
    return OneChange(changed, _status_of(connection, row.id))


def _find(connection: Connection, order_id: int) -> Row[*tuple[Any, ...]] | None:
    return connection.execute(
        select(Order.id, Order.client).where(Order.order_id == order_id)
    ).first()


def _status_of(connection: Connection, row_id: int) -> OrderStatus:
    status = select(Order.status.label("status")).where(Order.id == row_id)
    return OrderStatus(connection.execute(status).scalar_one())


def _lock(connection: Connection, row_ids: Collection[int]) -> Sequence[Row[*tuple[Any, ...]]]:
    return connection.execute(
        select(Order.id, Order.outcome, Order.lease_owner, Order.next_attempt_at)
        .with_hint(Order, BY_PRIMARY, "mysql")
        .where(Order.id.in_(sorted(row_ids)))
        .order_by(Order.id)
        .with_for_update()
    ).all()


def _change(connection: Connection, row_ids: Collection[int], **values: Any) -> None:
    if row_ids:
        connection.execute(update(Order).where(Order.id.in_(row_ids)).values(**values))
