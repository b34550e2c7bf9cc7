"""Events past the service: orders that end with one, and what is stored of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from service.storage.models import Event, Order
from service.storage.order_changes import cancel
from service.storage.outbox import write_events_on
from tests.support.inspection import Store, insert_orders


def end_orders(store: Store, ids: Sequence[int]) -> None:
    """Store orders and cancel them before any worker can take one, each with an event; from now on
    this store writes events."""
    write_events_on(store.database.engine)

    def end(connection: Connection) -> int:
        insert_orders(connection, ids, user_id=5)
        query = select(Order.id).where(Order.order_id.in_(ids)).order_by(Order.id)
        return cancel(connection, connection.execute(query).scalars().all()).changed

    assert store.run(end) == len(ids)


def stored_events(store: Store) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return all events, oldest first."""
    query = select(*Event.__table__.columns).order_by(Event.id)
    return store.run(lambda its: its.execute(query).all())


def states_of_events(store: Store) -> Counter[str]:
    """Return how many events have which state."""
    return Counter(event.state for event in stored_events(store))
