"""The folder of backups: what is in it, by names and manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.backup import backup
from order_service.backup.backup import apply_retention, make_full
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import Copy, Store, parse_copy
from order_service.restore.plan import choose

from tests.support.stored_backups import UUID, add_backup, add_copy


@pytest.mark.parametrize("name", ["notes.txt", "binlog.000001.zst", "binlog_2026.zst", "x.json"])
def test_a_file_of_another_name_is_no_copy(name: str) -> None:
    assert parse_copy(UUID, name) is None


def test_copies_are_ordered_by_number_not_by_name(tmp_path: Path) -> None:
    for number in (999_999, 1_000_000):
        add_copy(tmp_path, number, "2026-11-20T000000Z")
    found: list[Copy] = Store(tmp_path).copies()
    assert [copy.number for copy in found] == [999_999, 1_000_000]


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_damaged_manifest_is_told_and_stops_nothing_else(
    tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (1, 2, 20):
        add_backup(tmp_path, f"2026-10-{day:02}T000000Z", log=day)
    damaged = tmp_path / "2026-10-20T000000Z" / "manifest.json"
    damaged.unlink() if text is None else damaged.write_text(text)
    store = Store(tmp_path)
    settings = Settings(directory=tmp_path, keep_at_least=1)

    assert choose(store, None, None).manifest["id"] == "2026-10-02T000000Z"
    assert "2026-10-20T000000Z/manifest.json is damaged" in capsys.readouterr().err
    # It is neither what has to stay nor removed.
    apply_retention(settings, store)
    assert store.ids() == ["2026-10-02T000000Z", "2026-10-20T000000Z"]


def test_what_has_had_its_time_makes_room_for_a_backup_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(_: Settings, store: Store, __: str) -> None:
        assert store.ids() == ["2026-10-02T000000Z"]
        raise BackupError("the disk is full")

    for day in (1, 2):
        add_backup(tmp_path, f"2026-10-{day:02}T000000Z", log=day)
    monkeypatch.setattr(backup, "take", take)
    with pytest.raises(BackupError, match="the disk is full"):
        make_full(Settings(directory=tmp_path, keep_at_least=1), Store(tmp_path), "scheduled", {})
