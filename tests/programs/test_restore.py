"""Restores on real MySQL: on trial, in the place of the live data, and back again.

They run in this process, so that one scratch server does for all of them; test_drill.py has the
program that starts one of its own.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from order_service.backup.mysql_session import Session
from order_service.backup.settings import BackupError
from order_service.backup.table_digests import Digest, digests
from order_service.release import maintenance
from order_service.restore import live, scratch_mysql

from service.storage.models import db
from tests.support.backups import BackupHost, Visitor, Writer
from tests.support.polling import wait_until
from tests.support.restores import Restores

pytestmark = pytest.mark.mysql


def age_key(host: BackupHost) -> Path:
    """Have backups encrypted, and return the file with the private key."""
    key = host.folder / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    host.configure(public_key=public)
    return key


def test_a_backup_under_writes_is_of_one_moment_and_restores_to_what_it_recorded(
    host: BackupHost, restores: Restores
) -> None:
    with Writer(host.server, 1).at_work() as writer:
        wait_until(lambda: len(writer.acknowledged) > 100, 60, "writes before the backup")
        manifest = host.backup()
        written = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > written, 60, "writes after it")
    rows = manifest["tables"]["orders"]["rows"]
    assert 100 <= rows < len(writer.acknowledged)
    # Copies of the binary logs do not wait for it.
    before = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    restores.meanwhile = lambda: host.must("backup", "binlog", seconds=20)
    report = restores("scratch")
    assert host.state("binlog")["until"] >= before
    assert (report["backup"], report["until"]) == (manifest["id"], None)
    assert report["tables"] == manifest["tables"]
    # On trial: the live orders are all there.
    assert host.orders() == len(writer.acknowledged)
    (line,) = restores.listed(host.store)
    assert line[:2] == [manifest["id"], "manual"]


def test_a_folder_of_backups_is_restored_to_the_named_second(
    host: BackupHost, restores: Restores, tmp_path: Path
) -> None:
    """From elsewhere: nothing of this host's own is asked for it."""
    host.backup()
    with Writer(host.server, 1).at_work() as writer:
        started = datetime.now(UTC)
        wait_until(lambda: datetime.now(UTC) > started + timedelta(seconds=2.5), 10)
    host.must("backup", "binlog")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(host.store, elsewhere)
    until = (started + timedelta(seconds=2)).replace(microsecond=0)
    named = f"{until:%Y-%m-%d %H:%M:%S}"
    report = restores("scratch", "--store", str(elsewhere), "--until", named)
    restored = report["tables"]["orders"]["rows"]
    # A commit is acknowledged after it happened: at most the one on its way may differ.
    acknowledged = sum(1 for _, moment in writer.acknowledged if moment < until)
    assert restored - acknowledged in (0, 1)
    assert 0 < restored < len(writer.acknowledged)
    assert datetime.fromisoformat(report["last_replayed_commit"]) < until
    assert host.orders() == len(writer.acknowledged)


def test_a_dropped_table_comes_back_with_every_order_and_a_restore_can_be_undone(
    host: BackupHost, restores: Restores
) -> None:
    with Writer(host.server, 1).at_work() as writer:
        wait_until(lambda: len(writer.acknowledged) > 20, 60)
        first = host.backup()
        wait_until(lambda: len(writer.acknowledged) > 200, 60)
    written = len(writer.acknowledged)
    now = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) > now + timedelta(seconds=1.1), 10, "the next second")
    host.server.query("DROP TABLE orders.orders")
    until = now + timedelta(seconds=1)
    report = restores("live", "--until", f"{until:%Y-%m-%d %H:%M:%S}")
    assert host.orders() == written
    assert report["tables"]["orders"]["rows"] == written
    assert "orders" not in report["replaced"]
    assert host.server.query("SHOW DATABASES LIKE 'orders\\_%%'", []) == []

    # An older backup, by its name; and back to what that has replaced, new orders included.
    host.post(999_999)
    host.server.query("UPDATE orders.orders SET user_id = 8")
    report = restores("live", "--backup", first["id"])
    assert host.orders() == first["tables"]["orders"]["rows"] < written
    assert host.orders(user_id=8) == 0
    undone = restores("live", "--backup", report["backup_of_what_was_replaced"])
    assert host.orders(user_id=8) == written + 1
    assert undone["tables"] == report["replaced"]

    # The binary log passes over the restores, from a backup before them.
    again = restores("scratch", "--backup", first["id"], "--until", "latest")
    assert again["tables"] == undone["tables"]


def test_the_service_stops_for_the_last_dump_and_the_renaming_alone(
    host: BackupHost, restores: Restores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tables come back, and clients are told to come again meanwhile."""
    host.post(1, 2)
    host.server.query(
        "INSERT INTO orders.clients (name, scopes, secret_hash, created_at, changed_at)"
        " VALUES ('shop', 'orders:read', REPEAT('x', 32), NOW(6), NOW(6))"
    )
    manifest = host.backup()
    host.server.query("DELETE FROM orders.clients WHERE name = 'shop'")
    host.post(3)
    hashed: list[tuple[str, bool]] = []

    def noted(session: Session, schema: str) -> dict[str, Digest]:
        hashed.append((schema, maintenance.is_on()))
        return digests(session, schema)

    for module in (live, scratch_mysql):
        monkeypatch.setattr(module, "digests", noted)
    begin = len(host.docker())
    report = restores("live")
    # What was restored, what was loaded beside the live tables, and what was replaced: all of it
    # while clients are served.
    schemas = ("orders", "orders_restored", "orders_replaced")
    assert hashed == [(schema, False) for schema in schemas]
    assert manifest["tables"].keys() == set(db.metadata.tables) | {"alembic_version"}
    kept, made = (
        json.loads((host.store / report[name] / "manifest.json").read_text())["tables"]
        for name in ("backup_of_what_was_replaced", "backup_after")
    )
    assert made == report["tables"] == manifest["tables"]
    assert kept["orders"]["rows"] == 3
    asked = host.docker()[begin:]
    stop, start = (
        next(at for at, line in enumerate(asked) if line.startswith(f"closed {what} "))
        for what in ("stop", "restart")
    )
    closed = [line for line in asked if line.startswith("closed ")]
    assert sum(" mysqldump " in line for line in closed) == 1
    loaded = next(at for at, line in enumerate(asked) if line.endswith(" mysql orders_restored"))
    assert loaded < stop
    assert any(" mysqldump " in line and line.startswith("open ") for line in asked[start:])
    assert report["stopped"] == ["blue-app-1"]
    assert 0 < report["stopped_seconds"] < report["seconds"]
    assert "a restore to live stops the service for about" in restores.said


def test_a_younger_host_gets_what_made_the_lost_one_its_clients(
    host: BackupHost,
    restores: Restores,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The private key is handed over by the standard input, and lies on no disk."""
    key = age_key(host)
    places = {
        "volumes/order-service_service-secrets": ("auth_password", "webhook_secret"),
        "volumes/order-service_migrate-secrets": ("client_shop",),
        "authority": ("ca.key", "ca.crt"),
    }
    files = [host.folder / folder / name for folder, names in places.items() for name in names]
    (host.folder / "authority").mkdir()
    # MySQL's own passwords are the new host's.
    own = host.folder / "volumes/order-service_service-secrets/database_url"
    for path in [*files, own]:
        path.write_text(f"lost {path.name}\n")
        path.chmod(0o400)
    host.post(1)
    manifest = host.backup()
    packed = host.store / manifest["id"] / manifest["secrets"]["file"]
    assert packed.read_bytes().startswith(b"age-encryption.org/v1")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(host.store, elsewhere)

    host.database.empty()
    for path in [*files, own]:
        path.chmod(0o600)
        path.write_text("new")
    deployed = f"{datetime.now(UTC) + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    ledger = {"active": None, "releases": [{"release": "1", "deployed_at": deployed}]}
    (host.folder / "state").mkdir(exist_ok=True)
    (host.folder / "state" / "ledger.json").write_text(json.dumps(ledger))
    secret = key.read_bytes()
    key.unlink()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(secret)))
    report = restores("live", "--store", str(elsewhere), "--identity", "-", "--discard")
    assert host.orders() == 1
    assert set(report["secrets"]) == {path.name for path in files}
    for path in files:
        assert path.read_text() == f"lost {path.name}\n"
        assert path.stat().st_mode & 0o777 == 0o400
    assert own.read_text() == "new"
    assert not elsewhere.exists()
    assert not any(path.read_bytes() == secret for path in host.folder.rglob("*") if path.is_file())


def test_a_restore_that_was_cut_off_has_to_be_looked_at(
    host: BackupHost, restores: Restores
) -> None:
    """And data that cannot be backed up any more are replaced only where that is said."""
    host.post(1, 2, 3)
    manifest = host.backup()
    host.server.query("CREATE DATABASE orders_replaced")
    host.server.query("CREATE TABLE orders_replaced.orders (order_id INT PRIMARY KEY)")
    begun: list[None] = []
    restores.meanwhile = lambda: begun.append(None)
    try:
        with pytest.raises(BackupError, match="an earlier restore left tables in the schema"):
            restores("live")
        # Nothing has been done by then, not even on trial.
        assert begun == []
        assert [path.name for path in host.store.glob("20*")] == [manifest["id"]]
    finally:
        host.server.query("DROP DATABASE orders_replaced")
    host.server.query("DROP DATABASE orders")
    with pytest.raises(BackupError, match=r"mysqldump: .*Unknown database"):
        restores("live")
    report = restores("live", "--no-backup")
    assert report["backup_of_what_was_replaced"] is None
    assert host.orders() == 3


def test_an_encrypted_backup_needs_its_key_and_restores_with_it(
    host: BackupHost, restores: Restores
) -> None:
    key = age_key(host)
    manifest = host.backup()
    host.post(1)
    dump = host.store / manifest["id"] / manifest["file"]
    assert dump.read_bytes().startswith(b"age-encryption.org/v1")
    assert "restore_identity_file" in host.refused("restore", "live")
    report = restores("scratch", "--until", "latest", "--identity", str(key))
    assert report["tables"]["orders"]["rows"] == 1
    # The host has no key: a drill compares the files, and restores a dump of this moment.
    host.post(2)
    assert restores("drill") | {"outcome": "ok", "id": manifest["id"]} == host.state("drill")
    before = sum(table["rows"] for table in manifest["tables"].values())
    assert host.state("drill")["rows"] == before + 2
    assert host.state("drill")["decrypted"] is False
    # With the key, handed over for one drill, it is the backup itself.
    assert restores("drill", "--identity", str(key))["decrypted"] is True
    assert host.state("drill")["rows"] == before + 1


def test_no_hosts_writer_gets_by_a_restore_of_a_database_that_hosts_share(
    host: BackupHost, restores: Restores
) -> None:
    """Their account is locked meanwhile, so no containers are stopped."""
    host.share_database()
    host.post(1)
    host.backup()
    with Visitor(host.database).at_work() as visitor:
        wait_until(lambda: visitor.stored, 60, "an order of another host")
        report = restores("live")
        stored = len(visitor.stored)
        wait_until(lambda: len(visitor.stored) > stored, 60, "an order after the restore")
    assert visitor.locked_out
    assert report["stopped"] == []
    assert not any(" stop " in line for line in host.docker())
    # What was stored is in what was replaced, or in what is live now; and perhaps one whose session
    # ended before its client was told.
    replaced = report["replaced"]["orders"]["rows"] - 1
    assert replaced + host.orders() - 1 - len(visitor.stored) in (0, 1)
    assert 0 < replaced < len(visitor.stored)
