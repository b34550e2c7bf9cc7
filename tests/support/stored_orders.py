"""Many orders at once, stored past the service, with what the totals have to say of them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert

from service.storage.models import Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.totals import add_totals
from service.storage.waiting import waiting_values
from tests.support.inspection import Store

DAY = 86_400.0
# Of each completed order.
MICROSECONDS = 1_000


def add_finished(
    store: Store,
    ids: Sequence[int],
    status: OrderStatus,
    *,
    days: float = 0.0,
    last_error: str | None = None,
) -> None:
    """Store orders that were finished so many days ago, in that order."""
    completed = status is OrderStatus.COMPLETED
    columns = {
        "outcome": status.value,
        "attempts": 0 if status is OrderStatus.CANCELLED else 1,
        "processing_microseconds": MICROSECONDS if completed else None,
        "last_error": last_error,
    }
    counts = {status.value.lower(): len(ids)}
    if completed:
        counts["processing_microseconds"] = MICROSECONDS * len(ids)
    _add(store, ids, columns, counts, -DAY * days)


def add_waiting(store: Store, ids: Sequence[int], seconds: float = 3600.0) -> None:
    """Store orders that failed once, and wait so many seconds for their next attempt."""
    columns = {"attempts": 1, "last_error": "away"} | waiting_values(seconds)
    _add(store, ids, columns, {"waiting": len(ids)}, 0.0)


def _add(
    store: Store, ids: Sequence[int], columns: dict[str, Any], counts: dict[str, int], ago: float
) -> None:
    moments = dict.fromkeys(("available_at", "created_at", "updated_at"), utcnow(ago))
    common = {"user_id": 1, "total_amount": Decimal(1), "fence": 1, "key_version": 0}
    statement = insert(Order).values(moments | common | columns)
    rows = [{"order_id": order_id, "item_ids": [1, 2]} for order_id in ids]

    def work(connection: Connection) -> None:
        connection.execute(statement, rows)
        add_totals(connection, slot=7, **counts)

    store.run(work)
