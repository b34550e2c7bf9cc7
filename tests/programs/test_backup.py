"""Backups of real MySQL: what is made, what is left out, and what goes again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from order_service.backup.backup import open_store
from order_service.backup.full import take
from order_service.backup.settings import Settings
from order_service.backup.store import TIME_FORMAT

from tests.support.backups import BackupHost
from tests.support.polling import wait_until
from tests.support.stored_backups import add_backup, add_copy, files_in

pytestmark = pytest.mark.mysql


def test_binary_logs_are_copied_once_and_only_when_there_is_news(host: BackupHost) -> None:
    host.backup()
    before = sorted(host.store.glob("binlogs/*/*"))
    for _ in range(2):
        host.must("backup", "binlog")
    assert sorted(host.store.glob("binlogs/*/*")) == before
    host.post(1)
    host.must("backup", "binlog")
    assert len(sorted(host.store.glob("binlogs/*/*.zst"))) == len(before) // 2 + 1


def test_binary_logs_leave_the_host_while_the_upload_of_a_dump_hangs(host: BackupHost) -> None:
    """So what is lost with the host does not depend on how slow the destination is."""
    host.configure(offsite="rsync", destination=str(host.there))
    (host.folder / "slow").touch()
    with host.begin("backup", "full", "manual") as full:
        try:
            wait_until((host.folder / "waiting").exists, 60, "the upload of the dump")
            host.post(1)
            before = files_in(host.there)
            host.must("backup", "binlog", seconds=20)
            assert full.poll() is None
            assert {Path(name).suffix for name in files_in(host.there) - before} == {
                ".zst",
                ".json",
            }
            # What is incomplete there is no backup there.
            assert not list(host.there.glob("20*/manifest.json"))
        finally:
            (host.folder / "slow").unlink()
        assert full.wait(60) == 0
    made = host.state("backup")["id"]
    assert files_in(host.there / made) == {"manifest.json", "orders.sql.zst"}


def test_a_binary_log_that_is_begun_between_the_two_snapshots_does_no_harm(
    host: BackupHost,
) -> None:
    """A copy of the binary logs begins one at any moment."""
    host.post(1)
    over = threading.Event()

    def begin_logs() -> None:
        with host.server.connect() as connection, connection.cursor() as cursor:
            while not over.wait(0.01):
                cursor.execute("FLUSH LOCAL BINARY LOGS")

    settings = Settings(host.store, container=host.server.name, reserve_megabytes=1)
    thread = threading.Thread(target=begin_logs)
    thread.start()
    try:
        manifest = take(settings, open_store(settings), "manual")
    finally:
        over.set()
        thread.join()
    assert manifest["tables"]["orders"]["rows"] == 1


def test_a_failed_backup_leaves_nothing_and_says_why(host: BackupHost) -> None:
    # What a backup that was killed has left goes with the next one.
    (host.store / ".partial-scheduled").mkdir(parents=True)
    (host.store / ".partial-scheduled" / "orders.sql.zst").write_bytes(b"half")
    good = host.backup()
    host.configure(reserve_megabytes=10**9)
    assert "MiB free" in host.refused("backup", "full", "manual")
    state = host.state("backup")
    assert state["outcome"] == "failed"
    assert "MiB free" in state["error"]
    assert state["id"] == good["id"]
    assert [path.name for path in host.store.glob("20*")] == [good["id"]]
    assert list(host.store.glob(".partial*")) == []


def test_a_backup_ends_with_the_retention(host: BackupHost) -> None:
    """Of this server's own: what another one has left here stays."""
    server = host.server.query("SELECT @@server_uuid")[0][0]
    old = [f"{datetime.now(UTC) - timedelta(days=days):{TIME_FORMAT}}" for days in (40, 30, 20)]
    for number, stamp in enumerate(old, start=1):
        add_backup(host.store, stamp, log=number, server=server)
        add_copy(host.store, number, stamp, server)
    (host.store / "notes.txt").touch()
    host.configure(keep_days=14, keep_at_least=2)
    newest = host.backup()["id"]
    assert sorted(path.name for path in host.store.glob("20*")) == [old[2], newest]
    assert (host.store / "notes.txt").exists()
    stamps = [path.name for path in host.store.glob("binlogs/*/*.zst")]
    assert all(old[0] not in stamp and old[1] not in stamp for stamp in stamps)
    assert any(old[2] in stamp for stamp in stamps)


def test_a_deployment_makes_the_first_backup_alone(host: BackupHost) -> None:
    host.configure(reserve_megabytes=10**9)
    assert "MiB free" in host.refused("backup", "first")
    # That its copy fails is no reason to stop one.
    nowhere = str(host.folder / "no" / "such" / "folder")
    host.configure(offsite="rsync", destination=nowhere)
    for end in ("CHANGED", "UNCHANGED"):
        done = host.run("backup", "first")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, end)
        assert "WARNING: the last backup failed: rsync " in done.stderr
    assert len(list(host.store.glob("20*"))) == 1


def test_without_its_settings_nothing_is_begun(host: BackupHost) -> None:
    host.settings.unlink()
    for program, arguments in (("backup", ["full"]), ("restore", ["scratch"])):
        assert "backup.json does not exist; run deploy.yml" in host.refused(program, *arguments)
    assert not host.store.exists()
