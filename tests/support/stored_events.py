"""Events past the service: orders that end with one, and what is stored of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from service.storage.models import Event
from service.storage.order_changes import cancel
from service.storage.outbox import write_events_on
from tests.support.inspection import Store


def end_orders(store: Store, ids: Sequence[int]) -> None:
    """Store orders and cancel them, each with an event; from now on this store writes events."""
    store.add_orders(ids, user_id=5)
    write_events_on(store.database.engine)
    rows = {order_id: store.order(order_id).id for order_id in (ids[0], ids[-1])}
    chosen = range(rows[ids[0]], rows[ids[-1]] + 1)
    assert store.run(lambda its: cancel(its, chosen)).changed == len(ids)


def stored_events(store: Store) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return all events, oldest first."""
    query = select(*Event.__table__.columns).order_by(Event.id)
    return store.run(lambda its: its.execute(query).all())


def states_of_events(store: Store) -> Counter[str]:
    """Return how many events have which state."""
    return Counter(event.state for event in stored_events(store))
