"""Databases of a test's own, for tests that change or break a schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import migrate


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def unmigrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a table: once SQLite, once MySQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/fresh.db"
        return
    server = request.getfixturevalue("mysql_server")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def own_url(unmigrated_url: str) -> str:
    """The URL of a migrated database that the test may spoil."""
    migrate(unmigrated_url)
    return unmigrated_url
