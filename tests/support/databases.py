"""Databases for tests, made by the migrations as users make them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from flask_migrate import upgrade
from sqlalchemy import create_engine, make_url

from service.app import create_app
from service.config import Settings
from service.storage.database import Database
from service.storage.engine import IDLE_TIMEOUT, engine_options, prepare_engine
from service.storage.models import db

# For tests that reach no SQL, or only such as other tests run on MySQL.
ONLY_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
# For what SQLite does not have: locks of rows, connections, settings of a session.
ONLY_MYSQL = pytest.mark.parametrize(
    "url", [pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True
)


def settings_for(url: str, **values: object) -> Settings:
    """Return settings for this database, with the given fields changed."""
    # What MySQL's URL leaves open is chosen as for users. SQLite's is taken as it is: some tests
    # need files that the settings refuse.
    mysql = url.startswith("mysql")
    chosen = Settings.from_environment({"DATABASE_URL": url}).database_url if mysql else None
    return Settings(database_url=chosen or make_url(url), **values)  # type: ignore[arg-type]


def migrate(url: str) -> None:
    """Bring the database to this release's schema."""
    app = create_app(settings_for(url))
    with app.app_context():
        upgrade()
        db.engine.dispose()


def open_database(url: str, connections: int, idle_timeout: int = IDLE_TIMEOUT) -> Database:
    """Open the database as the service does, with a pool of its own."""
    chosen = settings_for(url).database_url
    engine = create_engine(chosen, **engine_options(chosen, connections, idle_timeout))
    prepare_engine(engine)
    return Database(engine)


@contextmanager
def locked(sqlite_url: str) -> Iterator[None]:
    """Keep everybody else from writing to the SQLite database meanwhile."""
    path = str(make_url(sqlite_url).database)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def order_body(order_id: int, **fields: object) -> dict[str, object]:
    """Return a valid body of `POST /orders`, with the given fields changed."""
    body: dict[str, object] = {
        "order_id": order_id,
        "user_id": 456,
        "item_ids": [1, 2, 3],
        "total_amount": 150.75,
    }
    return body | fields
