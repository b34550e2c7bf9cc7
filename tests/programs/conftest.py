"""One MySQL server for all of the host's programs, with the stack's accounts and schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from order_service.backup.settings import Settings
from order_service.restore import scratch_mysql

from tests.support.backups import BackupHost
from tests.support.database_host import DatabaseHost
from tests.support.mysql_server import MySQLServer
from tests.support.restores import Restores, restores_on


@pytest.fixture(scope="session")
def database(mysql_server: MySQLServer, tmp_path_factory: pytest.TempPathFactory) -> DatabaseHost:
    """What the programs look after."""
    return DatabaseHost(mysql_server, tmp_path_factory.mktemp("database"))


@pytest.fixture
def host(database: DatabaseHost, tmp_path: Path) -> BackupHost:
    """A host without orders and without backups."""
    database.empty()
    return BackupHost(database, tmp_path)


@pytest.fixture(scope="module")
def scratch_server(database: DatabaseHost) -> Iterator[None]:
    """The server that each restore gets, as if it had been started for it."""
    with pytest.MonkeyPatch.context() as patch:
        # Another run of these tests, or a drill, has one by the usual name.
        patch.setattr(scratch_mysql, "NAME", f"{scratch_mysql.NAME}-of-{database.server.name}")
        with scratch_mysql.scratch(Settings(Path("/"), container=database.server.name)):
            yield


@pytest.fixture
def restores(
    host: BackupHost,
    scratch_server: None,  # noqa: ARG001 - it is borrowed
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Restores:
    """restore.py on the host, whose scratch server is there already."""
    return restores_on(host, monkeypatch, capsys)
