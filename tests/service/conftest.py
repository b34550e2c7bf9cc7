"""Databases that a test may spoil, and processors that look often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.processing import gate
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


@pytest.fixture
def fresh_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processors in this process take no look for fresh, so that each poll asks again."""
    monkeypatch.setattr(gate, "FRESH_SECONDS", 0.0)
