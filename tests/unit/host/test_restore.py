"""A restore: what it needs before it begins, and what it keeps away."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import backup_store
import host
import pytest
import restore
import scratch_mysql
from backup_settings import BackupError, Settings
from backup_store import Store
from host import CommandError
from restore_plan import Plan
from scratch_mysql import Scratch


def test_space_is_needed_where_docker_keeps_its_data_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {tmp_path: 10 << 30, Path("/data/docker"): 2 << 30}
    monkeypatch.setattr(scratch_mysql, "run", lambda _: "/data/docker\n")
    monkeypatch.setattr(
        backup_store.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder])
    )
    manifest: Any = {"sql_bytes": 1 << 30}
    with pytest.raises(BackupError, match="/data/docker has 2048 MiB free; this needs 3072 MiB"):
        restore.into_scratch(
            Settings(directory=tmp_path), Store(tmp_path), Plan(manifest), Scratch(None), None
        )


def test_no_rollout_begins_while_live_data_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "UNDER_WAY", tmp_path / "rollout.flock")
    monkeypatch.setattr(restore, "locked", nullcontext)
    monkeypatch.setattr(restore, "check", lambda *_: None)
    monkeypatch.setattr(restore, "scratch", nullcontext)
    monkeypatch.setattr(restore, "into_scratch", lambda *_: {})
    monkeypatch.setattr(
        restore, "replace_live", lambda *_, **__: {"meanwhile": host.under_way() or ""}
    )
    monkeypatch.setattr(
        restore, "choose", lambda *_, **__: SimpleNamespace(manifest={"database": "orders"})
    )
    given = restore._parser().parse_args(["live"])
    settings = Settings(directory=tmp_path)
    report = restore.restore(settings, given)
    assert report["meanwhile"].startswith("a restore of the live data, since ")
    assert host.under_way() is None
    with host.alone("the rollout of 1, by me"), pytest.raises(CommandError, match="rollout of 1"):
        restore.restore(settings, given)
