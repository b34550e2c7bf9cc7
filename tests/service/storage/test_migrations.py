"""The migrations: numbered, in one line, and what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import func, inspect, select

from service.app import create_app
from service.storage.models import Order, OrderTotals, db
from service.storage.schema import MIGRATIONS, read_revision, required_revision
from tests.support.databases import settings_for
from tests.support.inspection import open_store
from tests.support.service_process import Process

TABLES = {
    *("orders", "order_totals", "order_attempts", "idempotency_keys", "operations"),
    *("processing_state", "processors", "clients", "events", "audit_log", "samples"),
    "alembic_version",
}


@pytest.fixture
def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


@pytest.fixture
def fresh_app(unmigrated_url: str) -> Iterator[Flask]:
    """The application on a database without a table."""
    app = create_app(settings_for(unmigrated_url))
    with app.app_context():
        yield app
        db.engine.dispose()


def test_there_is_one_head(scripts: ScriptDirectory) -> None:
    assert scripts.get_heads() == [required_revision()]


def test_revisions_are_numbered_without_a_gap(scripts: ScriptDirectory) -> None:
    revisions = list(scripts.walk_revisions())[::-1]
    assert [one.revision for one in revisions] == [
        f"{number:04}" for number in range(1, len(revisions) + 1)
    ]
    for one in revisions:
        assert re.fullmatch(rf"{one.revision}_[a-z0-9_]+\.py", Path(one.path).name)


@pytest.mark.usefixtures("fresh_app")
def test_they_make_what_the_models_say_and_the_rows_of_the_totals() -> None:
    upgrade()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []
        rows = connection.execute(select(OrderTotals.slot, OrderTotals.completed)).all()
    assert sorted(tuple(row) for row in rows) == [(slot, 0) for slot in range(OrderTotals.SLOTS)]


@pytest.mark.usefixtures("fresh_app")
def test_upgrading_again_changes_nothing(unmigrated_url: str) -> None:
    upgrade()
    with open_store(unmigrated_url) as store:
        store.add_orders([1, 2])
        upgrade()
        assert store.statuses() == {1: "Pending", 2: "Pending"}
        assert store.run(read_revision) == required_revision()


@pytest.mark.usefixtures("fresh_app")
def test_down_and_up_again() -> None:
    upgrade()
    downgrade(revision="base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    upgrade()
    assert set(inspect(db.engine).get_table_names()) == TABLES
    with db.engine.connect() as connection:
        assert connection.execute(select(func.count(Order.id))).scalar() == 0


def test_processes_that_migrate_at_once_all_succeed(unmigrated_url: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": unmigrated_url}
    processes = [Process(["flask", "db", "upgrade"], tmp_path, environment) for _ in range(2)]
    try:
        for process in processes:
            process.start()
        codes = [process.popen.wait(120) for process in processes]
        assert codes == [0, 0], "\n".join(process.log for process in processes)
    finally:
        for process in processes:
            process.close()
    with open_store(unmigrated_url) as store:
        assert store.run(read_revision) == required_revision()
        assert store.statistics().total == 0
