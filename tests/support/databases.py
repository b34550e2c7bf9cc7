"""Databases for tests, made by the migrations as users make them."""

from __future__ import annotations

from flask_migrate import upgrade
from sqlalchemy import Connection, delete, make_url, update

from service import create_app
from service.config import Settings
from service.models import IdempotencyKey, Order, OrderTotals, db
from service.runtime import runtime


def settings_for(url: str, **values: object) -> Settings:
    """Return settings for this database, with the given fields changed."""
    return Settings(database_url=make_url(url), **values)  # type: ignore[arg-type]


def migrate(url: str) -> None:
    """Bring the database to this release's schema."""
    app = create_app(settings_for(url))
    with app.app_context():
        upgrade()
        db.engine.dispose()


def empty(url: str) -> None:
    """Remove all orders, and set the totals to zero."""
    app = create_app(settings_for(url))
    with app.app_context():
        database = runtime().database

        def work(connection: Connection) -> None:
            for model in (Order, IdempotencyKey):
                connection.execute(delete(model))
            connection.execute(
                update(OrderTotals).values(completed=0, failed=0, processing_microseconds=0)
            )

        database.transaction(work)
        db.engine.dispose()


def order_body(order_id: int, **fields: object) -> dict[str, object]:
    """Return a valid body of `POST /orders`, with the given fields changed."""
    body: dict[str, object] = {
        "order_id": order_id,
        "user_id": 456,
        "item_ids": [1, 2, 3],
        "total_amount": 150.75,
    }
    return body | fields
