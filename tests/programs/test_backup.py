"""Backups and restores on real MySQL, with writers at work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.backups import ORDER, BackupHost, prepare, writing
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until

pytestmark = [pytest.mark.mysql, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[MySQLServer]:
    with MySQLServer.start() as started:
        prepare(started)
        yield started


@pytest.fixture
def host(server: MySQLServer, tmp_path: Path) -> BackupHost:
    server.query("DELETE FROM orders.orders")
    return BackupHost(server, tmp_path)


def test_a_backup_under_writes_is_of_one_moment_and_restores_to_what_it_recorded(
    host: BackupHost,
) -> None:
    with writing(host.server, 1) as writer:
        wait_until(lambda: len(writer.acknowledged) > 100, 20, "writes before the backup")
        manifest = host.backup()
        wait_until(lambda: writer.acknowledged[-1][1] > datetime.now(UTC) - timedelta(seconds=5), 5)
    rows = manifest["tables"]["orders"]["rows"]
    assert 100 <= rows < len(writer.acknowledged)
    assert manifest["writers_held_milliseconds"] < 5000
    report = host.restore("scratch", "--backup", manifest["id"])
    assert report["tables"] == manifest["tables"]
    # Committed in sequence, so the backup has the first ones, without a gap.
    assert host.orders() == len(writer.acknowledged)


def test_a_dropped_table_comes_back_with_every_order(host: BackupHost) -> None:
    with writing(host.server, 1) as writer:
        wait_until(lambda: len(writer.acknowledged) > 50, 20)
        first = host.backup()["id"]
        wait_until(lambda: len(writer.acknowledged) > 300, 20)
    before_the_drop = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) > before_the_drop + timedelta(seconds=1.1), 5)
    host.server.query("DROP TABLE orders.orders")
    until = (before_the_drop + timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S")
    report = host.restore("live", "--until", until)
    assert host.orders() == len(writer.acknowledged)
    assert report["tables"]["orders"]["rows"] == len(writer.acknowledged)
    assert "orders" not in report["replaced"]
    # New orders are accepted; and the binary log passes over the restore, from a backup before it.
    host.server.query(ORDER, [999_999])
    again = host.restore("scratch", "--backup", first, "--until", "latest")
    assert again["tables"]["orders"]["rows"] == len(writer.acknowledged) + 1
    left = host.server.query("SHOW DATABASES LIKE 'orders\\_%%'", [])
    assert left == []


def test_a_point_in_time_restore_ends_at_the_named_second(host: BackupHost) -> None:
    host.backup()
    with writing(host.server, 1) as writer:
        started = datetime.now(UTC)
        wait_until(lambda: datetime.now(UTC) > started + timedelta(seconds=3.2), 10)
    until = (started + timedelta(seconds=2)).replace(microsecond=0)
    report = host.restore("scratch", "--until", f"{until:%Y-%m-%d %H:%M:%S}")
    restored = report["tables"]["orders"]["rows"]
    # A commit is acknowledged after it happened: at most the one on its way may differ.
    acknowledged = sum(1 for _, moment in writer.acknowledged if moment < until)
    assert restored - acknowledged in (0, 1)
    assert 0 < restored < len(writer.acknowledged)
    assert datetime.fromisoformat(report["last_replayed_commit"]) < until


def test_a_time_that_the_copies_do_not_reach_is_refused(host: BackupHost) -> None:
    host.backup()
    ahead = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
    refused = host.run("restore", "scratch", "--until", ahead)
    assert refused.returncode == 1
    assert "the copied binary logs end at" in refused.stderr


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(
    host: BackupHost, damage: str
) -> None:
    host.server.query(ORDER, [1])
    manifest = host.backup()
    dump = host.store / manifest["id"] / manifest["file"]
    content = bytearray(dump.read_bytes())
    if damage == "truncated":
        dump.write_bytes(content[:-10])
    elif damage == "altered":
        content[len(content) // 2] ^= 1
        dump.write_bytes(content)
    else:
        dump.unlink()
    refused = host.run("restore", "live")
    assert refused.returncode == 1
    assert str(dump) in refused.stderr
    assert "use another backup" in refused.stderr
    assert host.orders() == 1


def test_a_gap_in_the_binary_logs_is_refused(host: BackupHost) -> None:
    host.backup()
    for order_id in (1, 2, 3):
        host.server.query(ORDER, [order_id])
        host.must("backup", "binlog")
    copies = sorted(host.store.glob("binlogs/*/*.zst"))
    copies[-2].unlink()
    # Else it would be copied again: this server has it still.
    refused = host.run("restore", "scratch", "--until", "latest", "--store", str(host.store))
    assert refused.returncode == 1
    assert "is missing" in refused.stderr


def test_binary_logs_are_copied_once_and_only_when_there_is_news(host: BackupHost) -> None:
    host.backup()
    before = sorted(host.store.glob("binlogs/*/*"))
    host.must("backup", "binlog")
    host.must("backup", "binlog")
    assert sorted(host.store.glob("binlogs/*/*")) == before
    host.server.query(ORDER, [1])
    host.must("backup", "binlog")
    assert len(sorted(host.store.glob("binlogs/*/*.zst"))) == len(before) // 2 + 1


def test_an_encrypted_backup_needs_its_key_and_restores_with_it(host: BackupHost) -> None:
    key = host.folder / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    host.configure(public_key=public)
    manifest = host.backup()
    host.server.query(ORDER, [1])
    host.must("backup", "binlog")
    dump = host.store / manifest["id"] / manifest["file"]
    assert dump.read_bytes().startswith(b"age-encryption.org/v1")
    refused = host.run("restore", "scratch")
    assert refused.returncode == 1
    assert "restore_identity_file" in refused.stderr
    report = host.restore("scratch", "--until", "latest", "--identity", str(key))
    assert report["tables"]["orders"]["rows"] == 1


def test_the_drill_notes_its_outcome_and_leaves_no_server(host: BackupHost) -> None:
    manifest = host.backup()
    host.must("restore", "drill")
    assert host.state("drill") | {"outcome": "ok", "id": manifest["id"]} == host.state("drill")
    dump = host.store / manifest["id"] / manifest["file"]
    dump.write_bytes(dump.read_bytes()[:-1])
    assert host.run("restore", "drill").returncode == 1
    state = host.state("drill")
    assert state["outcome"] == "failed"
    assert "damaged" in state["error"]
    names = subprocess.run(
        ["docker", "ps", "--all", "--format={{.Names}}"], capture_output=True, check=True, text=True
    ).stdout.split()
    assert "order-service-scratch" not in names


def test_a_failed_backup_leaves_nothing_and_says_why(host: BackupHost) -> None:
    good = host.backup()
    host.configure(reserve_megabytes=10**9)
    failed = host.run("backup", "full", "manual")
    assert failed.returncode == 1
    assert "MiB free" in failed.stderr
    state = host.state("backup")
    assert state["outcome"] == "failed"
    assert "MiB free" in state["error"]
    assert state["id"] == good["id"]
    assert [p.name for p in host.store.glob("20*")] == [good["id"]]
    assert list(host.store.glob(".partial*")) == []


def test_a_backup_that_is_killed_leaves_nothing_for_the_next_one(host: BackupHost) -> None:
    (host.store / ".partial-scheduled").mkdir(parents=True)
    (host.store / ".partial-scheduled" / "orders.sql.zst").write_bytes(b"half")
    host.backup()
    assert list(host.store.glob(".partial*")) == []


def test_the_retention_removes_what_had_its_time_and_nothing_else(host: BackupHost) -> None:
    old = [_aged(host, days) for days in (40, 30, 20)]
    foreign = host.store / "notes.txt"
    foreign.write_text("keep me")
    host.configure(keep_days=14, keep_at_least=2)
    newest = host.backup()["id"]
    assert sorted(p.name for p in host.store.glob("20*")) == [old[2], newest]
    assert foreign.exists()
    stamps = [path.name for path in host.store.glob("binlogs/*/*.zst")]
    assert all(old[0] not in stamp and old[1] not in stamp for stamp in stamps)
    assert any(old[2] in stamp for stamp in stamps)


def _aged(host: BackupHost, days: int) -> str:
    """Make a backup and a binary log's copy, and give them the names of an earlier day."""
    host.server.query(ORDER, [days])
    made = host.backup()["id"]
    aged = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H%M%SZ")
    (host.store / made).rename(host.store / aged)
    manifest = host.store / aged / "manifest.json"
    manifest.write_text(manifest.read_text().replace(made, aged))
    newest = max(host.store.glob("binlogs/*/*.zst"), key=lambda path: path.name)
    for path in (newest, newest.with_name(newest.name.replace(".zst", ".json"))):
        stamp = path.name.partition("_")[2].partition(".")[0]
        path.rename(path.with_name(path.name.replace(stamp, aged)))
    return aged
