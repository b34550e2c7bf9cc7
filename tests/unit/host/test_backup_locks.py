"""Who waits for whom: and what nobody waits for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from order_service import unit
from order_service.backup import backup
from order_service.backup.locks import Busy, locked
from order_service.backup.settings import BackupError, Settings
from order_service.host import CommandError
from order_service.restore import restore

from tests.support.clock import Clock
from tests.support.stored_backups import add_backup

OLD, NEW = "2026-01-01T000000Z", "2026-01-02T000000Z"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A store with a backup that had its time, and what a restore that was cut off has left."""
    store = tmp_path / "store"
    for name in (OLD, NEW):
        add_backup(store, name)
    (store / ".partial-restore").mkdir()
    monkeypatch.setattr(backup, "dump", lambda *_: None)
    return Settings(store, keep_at_least=1)


def left(settings: Settings) -> set[str]:
    """Return what can be removed, and is there."""
    return {OLD, ".partial-restore"} & {path.name for path in settings.directory.iterdir()}


@pytest.mark.parametrize(
    ("reading", "kept"), [("scratch", {OLD, ".partial-restore"}), ("upload", {OLD})]
)
def test_a_backup_removes_nothing_that_a_restore_or_an_upload_reads(
    settings: Settings, reading: str, kept: set[str]
) -> None:
    state: dict[str, Any] = {}
    with locked(settings.directory, reading):
        backup.make_full(settings, backup.open_store(settings), "manual", state)
        assert left(settings) == kept
    backup.make_full(settings, backup.open_store(settings), "manual", state)
    assert left(settings) == set()


def test_a_lock_is_waited_for_within_bounds_and_nobody_else_can_take_it(tmp_path: Path) -> None:
    store = backup.open_store(Settings(tmp_path / "store")).folder
    assert store.stat().st_mode & 0o777 == 0o700
    with (
        locked(store, "dump"),
        pytest.raises(Busy, match="has held the lock 'dump' for"),
        locked(store, "dump", 0.1),
    ):
        pass
    with locked(store, "dump", 0), locked(store, "binlogs", 0), locked(store, "send", 0):
        assert all(path.parent == store for path in tmp_path.rglob("*lock*"))


def test_a_drill_lets_a_deployment_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock, done = Clock(), []
    holders = ["deploy 2 by ann@laptop", "deploy 2 by ann@laptop", None]
    monkeypatch.setattr(restore, "time", clock)
    monkeypatch.setattr(unit, "under_way", lambda: holders.pop(0))
    monkeypatch.setattr(restore, "_prove", lambda *_: done.append(clock.now))
    settings = Settings(tmp_path)
    restore.drill(settings, None)
    assert done == [2 * restore.EVERY_SECONDS]

    monkeypatch.setattr(unit, "under_way", lambda: "deploy 3 by ann@laptop")
    with pytest.raises(BackupError, match="deploy 3 by ann@laptop is still under way"):
        restore.drill(settings, None)
    assert len(done) == 1
    assert backup.open_store(settings).last("drill")["outcome"] == "failed"


def test_a_drill_gives_way_to_a_deployment_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deployed, gone, tries = threading.Event(), threading.Event(), []

    def prove(*_: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            deployed.set()
            assert gone.wait(10)
            deployed.clear()
            raise CommandError("No such container: order-service-scratch")

    monkeypatch.setattr(restore, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(unit, "under_way", lambda: "deploy" if deployed.is_set() else None)
    monkeypatch.setattr(restore, "remove", gone.set)
    monkeypatch.setattr(restore, "_prove", prove)
    settings = Settings(tmp_path)
    restore.drill(settings, None)
    assert len(tries) == 2
    assert backup.open_store(settings).last("drill")["outcome"] == "ok"
