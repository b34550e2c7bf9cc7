"""Before MySQL is changed in a way that cannot be undone: a backup that was restored once."""

from __future__ import annotations

import pytest
from order_service.backup import settings
from order_service.host import CommandError
from order_service.release import mysql_upgrade
from order_service.release.changes import Change

from tests.support.backups import BackupHost
from tests.support.relocation import relocate

pytestmark = pytest.mark.mysql
NEWER = Change(settings=False, configuration=False, image="mysql:9.8")


@pytest.fixture(autouse=True)
def _on_this_host(host: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    relocate(monkeypatch, host.folder)
    monkeypatch.setattr(mysql_upgrade, "load", lambda: settings.load(host.settings))


def test_a_backup_is_made_and_restored(host: BackupHost) -> None:
    host.post(1, 2)
    mysql_upgrade.prepare(NEWER)
    (manifest,) = host.store.glob("*/manifest.json")
    assert '"kind": "before-upgrade"' in manifest.read_text()
    drill = host.state("drill")
    assert (drill["outcome"], drill["id"]) == ("ok", manifest.parent.name)
    assert drill["rows"] >= 2


def test_where_it_cannot_be_made_the_change_is_refused(host: BackupHost) -> None:
    host.configure(reserve_megabytes=10**9)
    with pytest.raises(CommandError, match=r"MySQL is left as it is, .* MiB free"):
        mysql_upgrade.prepare(NEWER)


def test_the_version_is_the_server_s(host: BackupHost) -> None:
    ((text,),) = host.server.query("SELECT @@version")
    numbers = tuple(int(part) for part in text.partition("-")[0].split("."))
    assert mysql_upgrade.version("mysql:9.7") == numbers
