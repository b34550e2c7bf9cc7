"""`GET /readyz` says what is not ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from service.app import create_app
from service.processing.handlers.simulate import simulate
from service.processing.processor import POOL_SIZE, Processor
from service.runtime import runtime
from service.storage.models import db
from service.storage.schema import required_revision
from service.web.readiness import LONGEST_SILENCE
from tests.support.answers import json_of
from tests.support.databases import open_database, settings_for
from tests.support.inspection import open_store

AppOn = Callable[[str], Flask]


@pytest.fixture
def app_on() -> Iterator[AppOn]:
    """What makes the application on a database."""
    apps = []

    def make(url: str) -> Flask:
        apps.append(create_app(settings_for(url)))
        return apps[-1]

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def visitor(app_on: AppOn, sqlite_url: str) -> FlaskClient:
    """A client without credentials."""
    return app_on(sqlite_url).test_client()


def execute(url: str, sql: str) -> None:
    with open_store(url) as store:
        store.run(lambda connection: connection.execute(text(sql)))


def not_ready(client: FlaskClient) -> dict[str, str]:
    """Return the problems of an answer that says "not ready"."""
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    problems: dict[str, str] = json_of(answer)["problems"]
    return problems


def test_orders_that_the_database_does_not_answer(
    app_on: AppOn, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(sqlite_url)
    monkeypatch.setattr(runtime(app).acceptor, "silent_for", lambda: LONGEST_SILENCE + 1)
    assert not_ready(app.test_client()) == {"database": "does not answer"}


def test_ready(visitor: FlaskClient) -> None:
    answer = visitor.get("/readyz")
    assert answer.status_code == 200
    assert json_of(answer)["status"] == "ready"


def test_an_old_schema_is_named_until_it_is_migrated(visitor: FlaskClient, sqlite_url: str) -> None:
    execute(sqlite_url, "UPDATE alembic_version SET version_num = '0000'")
    [(name, problem)] = not_ready(visitor).items()
    assert name == "schema"
    assert "0000" in problem
    assert "flask db upgrade" in problem
    execute(sqlite_url, f"UPDATE alembic_version SET version_num = '{required_revision()}'")
    assert visitor.get("/readyz").status_code == 200


def test_a_newer_schema_is_fine(visitor: FlaskClient, sqlite_url: str) -> None:
    # So that the old release serves on while the new one migrates.
    execute(sqlite_url, "UPDATE alembic_version SET version_num = '9999'")
    assert visitor.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "sql",
    ["UPDATE alembic_version SET version_num = 'a1b2c3'", "DELETE FROM alembic_version"],
    ids=["foreign", "taken back"],
)
def test_a_schema_that_is_not_ours_is_named(
    visitor: FlaskClient, sqlite_url: str, sql: str
) -> None:
    execute(sqlite_url, sql)
    assert list(not_ready(visitor)) == ["schema"]


def test_a_database_that_never_was_migrated(app_on: AppOn, unmigrated_url: str) -> None:
    [(name, problem)] = not_ready(app_on(unmigrated_url).test_client()).items()
    assert name == "schema"
    assert "flask db upgrade" in problem


def test_a_processor_that_does_not_live_is_named(app_on: AppOn, sqlite_url: str) -> None:
    app = app_on(sqlite_url)
    parts = runtime(app)
    parts.serving = True
    assert not_ready(app.test_client()) == {"processor": "the processor is not running"}
    own = open_database(sqlite_url, POOL_SIZE)
    parts.processor = Processor(own, simulate(0), parts.settings)
    # It was never started, so none of its threads lives.
    assert list(not_ready(app.test_client())) == ["processor"]
    own.engine.dispose()
