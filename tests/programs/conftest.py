"""One MySQL server for all of the host's programs, with the stack's accounts and schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.backups import BackupHost
from tests.support.database_host import DatabaseHost
from tests.support.mysql_server import MySQLServer


@pytest.fixture(scope="session")
def database(mysql_server: MySQLServer, tmp_path_factory: pytest.TempPathFactory) -> DatabaseHost:
    """What the programs look after."""
    return DatabaseHost(mysql_server, tmp_path_factory.mktemp("database"))


@pytest.fixture
def host(database: DatabaseHost, tmp_path: Path) -> BackupHost:
    """A host without orders and without backups."""
    database.empty()
    return BackupHost(database, tmp_path)
