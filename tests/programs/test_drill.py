"""The drill, as its timer runs it, and what it and restores refuse before anything is begun."""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.support.backups import BackupHost
from tests.support.docker import docker
from tests.support.polling import wait_until

pytestmark = pytest.mark.mysql

SCRATCH = "order-service-scratch"


def _running() -> list[str]:
    return docker("ps", "--all", "--format={{.Names}}").split()


def test_the_drill_notes_its_outcome_and_leaves_no_server(host: BackupHost) -> None:
    manifest = host.backup()
    with host.begin("restore", "drill") as drill:
        wait_until(lambda: SCRATCH in _running(), 60, "the scratch server")
        assert docker("inspect", "--format={{.HostConfig.OomScoreAdj}}", SCRATCH).strip() == "1000"
        host.post(1)
        # Copies of the binary logs do not wait for it.
        host.must("backup", "binlog", seconds=20)
        assert drill.poll() is None
        assert drill.wait(180) == 0
    assert host.state("drill") | {"outcome": "ok", "id": manifest["id"]} == host.state("drill")
    assert SCRATCH not in _running()


def test_a_restore_whose_connection_ends_leaves_nothing_behind(host: BackupHost) -> None:
    host.backup()
    handed = host.folder / "handed"
    shutil.copytree(host.store, handed)
    with host.begin("restore", "scratch", "--store", str(handed), "--discard") as restore:
        wait_until(lambda: SCRATCH in _running(), 60, "the scratch server")
        restore.send_signal(signal.SIGHUP)
        assert restore.wait(60) == 1
        assert restore.stderr
        assert restore.stderr.read().endswith("restore: interrupted by SIGHUP\n")
    assert SCRATCH not in _running()
    assert not handed.exists()
    assert list(host.store.glob(".partial*")) == []


def test_a_damaged_backup_is_refused_before_anything_is_touched(host: BackupHost) -> None:
    host.post(1)
    manifest = host.backup()
    dump = host.store / manifest["id"] / manifest["file"]
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    for program in ("live", "drill"):
        said = host.refused("restore", program)
        assert f"{dump} is damaged" in said
        assert "use another backup" in said
    assert host.orders() == 1
    state = host.state("drill")
    assert state["outcome"] == "failed"
    assert "damaged" in state["error"]


def test_writers_that_a_restore_has_left_locked_out_are_let_in_again(host: BackupHost) -> None:
    """By the next one, whatever comes of it, and by what a deployment has MySQL read."""
    host.share_database()
    host.backup()
    password = host.database.passwords()["service"]
    lock = "ALTER USER service ACCOUNT LOCK"
    for statement in (
        lock,
        "CREATE DATABASE orders_replaced",
        "CREATE TABLE orders_replaced.orders (order_id INT PRIMARY KEY)",
    ):
        host.server.query(statement)
    try:
        assert "left tables in the schema" in host.refused("restore", "live")
    finally:
        host.server.query("DROP DATABASE orders_replaced")
    assert host.database.may_log_in("service", password)
    host.server.query(lock)
    host.database.tell("users.live.sql")
    assert host.database.may_log_in("service", password)
