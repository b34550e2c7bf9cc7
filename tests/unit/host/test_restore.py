"""A restore: what it needs before it begins, and what it keeps away."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import Store
from order_service.restore import restore, scratch_mysql
from order_service.restore.plan import Plan
from order_service.restore.scratch_mysql import Scratch
from order_service.restore.source import Source


def test_space_is_needed_where_docker_keeps_its_data_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {tmp_path: 10 << 30, Path("/data/docker"): 2 << 30}
    monkeypatch.setattr(scratch_mysql, "run", lambda _: "/data/docker\n")
    monkeypatch.setattr(
        "order_service.backup.store.shutil.disk_usage",
        lambda folder: SimpleNamespace(free=free[folder]),
    )
    manifest: Any = {"sql_bytes": 1 << 30}
    settings = Settings(directory=tmp_path)
    source = Source(Store(tmp_path), None, tmp_path)
    with pytest.raises(BackupError, match="/data/docker has 2048 MiB free; this needs 3072 MiB"):
        restore.into_scratch(settings, source, Plan(manifest), Scratch(settings))


def test_what_is_restored_is_compared_with_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: Any = {"rows": 3, "checksum": "1f"}
    found: Any = {"rows": 3, "checksum": "1f"}
    monkeypatch.setattr(scratch_mysql, "unpack", lambda *_: None)
    monkeypatch.setattr("order_service.backup.mysql_session.Server.query", lambda *_: [])
    monkeypatch.setattr(Scratch, "digests", lambda *_: {"orders": found})
    manifest: Any = {
        "id": "2026-11-22T101500Z", "database": "orders", "gtid_executed": "",
        "file": "orders.sql.zst", "tables": {"orders": recorded},
    }  # fmt: skip
    scratch = Scratch(Settings(directory=tmp_path))
    scratch.load(Store(tmp_path), manifest, None)
    for name, other in (("rows", 2), ("checksum", "1e")):
        monkeypatch.setitem(found, name, other)
        with pytest.raises(BackupError, match="does not restore to what was recorded: orders has"):
            scratch.load(Store(tmp_path), manifest, None)
        monkeypatch.setitem(found, name, recorded[name])
