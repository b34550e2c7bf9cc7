"""Clients of the API, as `flask clients` makes them."""

from __future__ import annotations

from base64 import b64encode

from sqlalchemy import Connection, update

from service.storage import clients as dao
from service.storage.clients import Scope
from service.storage.models import Client, Order
from service.storage.moments import utcnow
from tests.support.inspection import Store


def credentials(name: str, secret: str) -> dict[str, str]:
    """Return the header that carries them."""
    return {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}


def add_client(store: Store, name: str, *scopes: Scope) -> dict[str, str]:
    """Store a client, and return the header with which it calls."""
    secret = f"the secret of {name}, which is long enough"
    hashed = dao.hash_secret(secret)
    store.run(lambda connection: dao.insert_client(connection, name, scopes, hashed))
    return credentials(name, secret)


def revoke(store: Store, name: str) -> None:
    """Revoke a client."""

    def work(connection: Connection) -> None:
        row = dao.lock_client(connection, name)
        assert row is not None
        dao.revoke_client(connection, row.id)

    store.run(work)


def end_overlap(store: Store, name: str) -> None:
    """Have the former secret's time be over, without waiting for it."""
    changed = update(Client).where(Client.name == name).values(previous_until=utcnow())
    store.run(lambda connection: connection.execute(changed))


def set_poster(store: Store, order_id: int, client: str | None) -> None:
    """Have an order be that client's."""
    changed = update(Order).where(Order.order_id == order_id).values(client=client)
    store.run(lambda connection: connection.execute(changed))
