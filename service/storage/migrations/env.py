"""How Alembic reaches the database: one migration at a time, whoever starts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from alembic import context
from flask import current_app
from sqlalchemy import Connection, Engine, create_engine, exc, make_url, pool, text

from service.storage.engine import prepare_engine
from service.storage.failures import describe
from service.storage.models import db

# Seconds to wait for a migration that another host is running.
LOCK_TIMEOUT = 120


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """Let one process migrate; the next ones wait, and find nothing left to do."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        connection.exec_driver_sql("COMMIT")
        return
    # GET_LOCK is per server: the database's name keeps two installations on one server apart.
    name = text("CONCAT('migrate:', LEFT(SHA2(DATABASE(), 256), 32))")
    got = connection.execute(text(f"SELECT GET_LOCK({name}, :t)"), {"t": LOCK_TIMEOUT}).scalar()
    if got != 1:
        raise click.ClickException(
            f"another migration of this database has run for {LOCK_TIMEOUT} s; try again after it"
        )
    try:
        yield
    finally:
        connection.execute(text(f"SELECT RELEASE_LOCK({name})"))


def run_migrations() -> None:
    """Migrate on a connection of its own, without the time limits that requests have."""
    url = make_url(current_app.config["SQLALCHEMY_DATABASE_URI"])
    arguments = {"timeout": LOCK_TIMEOUT} if url.get_backend_name() == "sqlite" else {}
    engine = create_engine(
        url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments
    )
    prepare_engine(engine)
    with connect(engine) as connection, migration_lock(connection):
        context.configure(connection=connection, target_metadata=db.metadata, compare_type=True)
        context.run_migrations()


def connect(engine: Engine) -> Connection:
    """Connect, or end with one line on why not."""
    try:
        return engine.connect()
    except exc.OperationalError as error:
        raise click.ClickException(
            f"the database does not answer ({describe(error)}); check DATABASE_URL"
        ) from None


if context.is_offline_mode():
    raise click.ClickException("offline mode is not supported; run it against the database")
run_migrations()
