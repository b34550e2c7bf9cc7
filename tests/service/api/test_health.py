"""`GET /readyz` says what is not ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from service import create_app
from service.models import db
from tests.support.answers import json_of
from tests.support.databases import settings_for
from tests.support.inspection import open_store


@pytest.fixture
def visitor(unmigrated_url: str) -> Iterator[FlaskClient]:
    """A client without credentials of a service on a database of its own."""
    app = create_app(settings_for(unmigrated_url))
    with app.app_context():
        yield app.test_client()
        db.engine.dispose()


def set_revision(url: str, revision: str) -> None:
    with open_store(url) as store:
        statement = text("UPDATE alembic_version SET version_num = :revision")
        store.run(lambda connection: connection.execute(statement, {"revision": revision}))


def not_ready(client: FlaskClient) -> dict[str, str]:
    """Return the problems of an answer that says "not ready"."""
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    problems: dict[str, str] = json_of(answer)["problems"]
    return problems


def test_ready(own_url: str, visitor: FlaskClient) -> None:
    assert own_url
    answer = visitor.get("/readyz")
    assert answer.status_code == 200
    assert json_of(answer)["status"] == "ready"


def test_an_old_schema_is_named(own_url: str, visitor: FlaskClient) -> None:
    set_revision(own_url, "0000")
    problems = not_ready(visitor)
    assert list(problems) == ["schema"]
    assert "0000" in problems["schema"]
    assert "flask db upgrade" in problems["schema"]


@pytest.mark.parametrize("revision", ["0002", "9999"])
def test_a_newer_schema_is_fine(own_url: str, visitor: FlaskClient, revision: str) -> None:
    # So that the old release serves on while the new one migrates.
    set_revision(own_url, revision)
    assert visitor.get("/readyz").status_code == 200


def test_a_foreign_revision_is_named(own_url: str, visitor: FlaskClient) -> None:
    set_revision(own_url, "a1b2c3")
    assert list(not_ready(visitor)) == ["schema"]


def test_a_database_that_never_was_migrated(visitor: FlaskClient) -> None:
    [(name, problem)] = not_ready(visitor).items()
    assert name == "schema"
    assert "flask db upgrade" in problem


def test_a_migration_that_was_taken_back(own_url: str, visitor: FlaskClient) -> None:
    with open_store(own_url) as store:
        store.run(lambda connection: connection.execute(text("DELETE FROM alembic_version")))
    assert list(not_ready(visitor)) == ["schema"]


def test_it_becomes_ready_without_a_restart(own_url: str, visitor: FlaskClient) -> None:
    set_revision(own_url, "0000")
    not_ready(visitor)
    set_revision(own_url, "0001")
    assert visitor.get("/readyz").status_code == 200
