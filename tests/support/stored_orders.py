"""Many orders at once, stored past the service, with what the totals have to say of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select

from service.storage.models import Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.totals import add_totals
from service.storage.waiting import NEVER
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
    _add(store, ids, columns, counts, DAY * days)


def add_waiting(store: Store, ids: Sequence[int], seconds: float = 3600.0) -> None:
    """Store orders that failed once, and wait so many seconds for their next attempt."""
    due = store.run(now) + timedelta(seconds=seconds)
    columns = {"attempts": 1, "last_error": "away", "next_attempt_at": due, "available_at": NEVER}
    _add(store, ids, columns, {"waiting": len(ids)}, 0.0)


def now(connection: Connection) -> datetime:
    """Return the database's time."""
    moment: datetime = connection.execute(select(utcnow().label("now"))).scalar_one()
    return moment


def _add(
    store: Store, ids: Sequence[int], columns: dict[str, Any], counts: dict[str, int], age: float
) -> None:
    common = {"user_id": 1, "total_amount": Decimal(1), "item_ids": [1, 2], "fence": 1}

    def work(connection: Connection) -> None:
        # Values, not SQL: only then the driver sends many rows at once.
        moment = now(connection) - timedelta(seconds=age)
        moments = dict.fromkeys(("available_at", "created_at", "updated_at"), moment)
        row = moments | common | {"key_version": 0} | columns
        connection.execute(insert(Order), [row | {"order_id": order_id} for order_id in ids])
        add_totals(connection, slot=7, **counts)

    store.run(work)
