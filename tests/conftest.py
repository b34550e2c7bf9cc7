"""Fixtures of all layers. A test that takes `url` runs on SQLite and on MySQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings

from service.app import create_app
from service.storage.models import db
from tests.support import databases
from tests.support.inspection import Store, open_store
from tests.support.mysql_server import MySQLServer
from tests.support.service_process import AUTHORIZATION

pytest_plugins = [
    "tests.support.layers",
    "tests.support.shared_mysql",
    "tests.support.control_fixtures",
]

# Other examples in each run, in CI as well; a failure prints the line that repeats it. No limits of
# time, which a slow machine would break. A database is made once for all examples of a test.
settings.register_profile(
    "orders",
    settings.get_profile("default"),
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("orders")


@pytest.fixture(scope="session")
def mysql_url(mysql_server: MySQLServer) -> str:
    """A migrated database on the shared server."""
    url = mysql_server.url(mysql_server.create_database())
    databases.migrate(url)
    return url


@pytest.fixture(scope="session")
def mysql_store(mysql_url: str) -> Iterator[Store]:
    """That database, past the service, on connections that are kept from test to test."""
    with open_store(mysql_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "orders.db"
    databases.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An empty, migrated SQLite database."""
    path = tmp_path / "orders.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database: once SQLite, once MySQL."""
    if request.param == "mysql":
        request.getfixturevalue("mysql_store").empty()
    chosen: str = request.getfixturevalue(f"{request.param}_url")
    return chosen


@pytest.fixture
def app(url: str) -> Iterator[Flask]:
    """The application on that database, without a processor."""
    app = create_app(databases.settings_for(url))
    with app.app_context():
        yield app
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application that sends the right credentials."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZATION["authorization"]
    return client


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The database under test, past the service."""
    with open_store(url) as opened:
        yield opened
