"""What is removed, and what a restore needs: decided by names and manifests."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import backup_offsite
import backup_settings
import pytest
from backup import apply_retention
from backup_binlogs import _oldest_needed
from backup_files import check_file, checksum
from backup_offsite import expired_names
from backup_retention import expired_backups, expired_copies
from backup_settings import BackupError, Settings
from backup_store import Copy, Manifest, Store, parse_copy, sidecar
from restore_plan import Plan, choose, parse_until

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
UUID = "721a9837-e6bb-11f1-999c-0242ac120002"


def backup(
    folder: Path,
    name: str,
    *,
    log: int = 1,
    kind: str = "scheduled",
    server: str = UUID,
    orders: int = 5,
) -> None:
    (folder / name).mkdir(parents=True)
    manifest = dict.fromkeys(Manifest.__required_keys__)
    manifest |= {"id": name, "kind": kind, "server_uuid": server, "host": f"host-{server[:2]}"}
    manifest |= {"tables": {"orders": {"rows": orders, "checksum": "0"}}}
    manifest |= {"binlog": {"file": f"binlog.{log:06}", "position": 4}}
    (folder / name / "manifest.json").write_text(json.dumps(manifest))


def copy_name(number: int, stamp: str) -> str:
    return f"binlog.{number:06}_{stamp}.zst"


def add_copy(folder: Path, number: int, stamp: str) -> None:
    path = folder / "binlogs" / UUID / copy_name(number, stamp)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def of_one(backups: list[str]) -> dict[str, str]:
    return dict.fromkeys(backups, UUID)


def logs(plan: Plan) -> list[int]:
    return [copy.number for copy in plan.copies]


def test_old_backups_go_and_the_newest_stay_however_old() -> None:
    backups = ["2026-09-01T000000Z", "2026-10-01T000000Z", "2026-11-01T000000Z"]
    recent = "2026-11-20T000000Z"
    assert expired_backups(of_one([*backups, recent]), NOW, 14, 1) == backups
    assert expired_backups(of_one([*backups, recent]), NOW, 14, 3) == backups[:1]
    assert expired_backups(of_one(backups), NOW, 14, 3) == []
    assert expired_backups(of_one([recent]), NOW, 14, 1) == []


def test_a_replaced_servers_backups_push_out_none_of_the_lost_ones() -> None:
    lost = {"2026-09-01T000000Z": "lost", "2026-09-02T000000Z": "lost"}
    new = {f"2026-10-{day:02}T000000Z": "new" for day in range(1, 5)}
    assert expired_backups(lost | new, NOW, 14, 2) == ["2026-10-01T000000Z", "2026-10-02T000000Z"]
    # Nor keep the lost one's backups the new one's binary logs, or the other way round.
    stamps = ["2026-08-31T000000Z", "2026-09-30T000000Z", "2026-10-02T000000Z"]
    copies = [parse_copy(server, copy_name(1, one)) for server in ("lost", "new") for one in stamps]
    expired = expired_copies([copy for copy in copies if copy], lost | new)
    assert [(copy.server_uuid, copy.copied_at.month) for copy in expired] == [
        ("lost", 8), ("new", 8), ("new", 9),
    ]  # fmt: skip


def test_binary_logs_go_that_end_before_the_oldest_kept_backup() -> None:
    stamps = ["2026-10-31T235959Z", "2026-11-01T000000Z", "2026-11-02T000000Z"]
    copies = [parse_copy(UUID, copy_name(n, stamp)) for n, stamp in enumerate(stamps)]
    present = [copy for copy in copies if copy]
    assert expired_copies(present, of_one(["2026-11-01T000000Z"])) == present[:1]
    assert expired_copies(present, {}) == []


@pytest.mark.parametrize("name", ["notes.txt", "binlog.000001.zst", "binlog_2026.zst", "x.json"])
def test_a_file_of_another_name_is_no_copy(name: str) -> None:
    assert parse_copy(UUID, name) is None


def test_off_the_host_only_named_backups_are_removed() -> None:
    settings = Settings(directory=Path("/x"), keep_days=14, keep_at_least=1)
    old, new = "2026-10-01T000000Z", "2026-11-20T000000Z"
    before = f"binlogs/{UUID}/{copy_name(1, '2026-09-30T000000Z')}"
    names = [f"{folder}/{file}" for folder in (old, new) for file in ("manifest.json", "o.sql.zst")]
    names += ["photos/2026.jpg", "readme", before, f"binlogs/{UUID}/{copy_name(2, old)}"]
    assert expired_names(names, of_one([old, new]), settings, NOW) == [
        f"{old}/",
        before,
        str(sidecar(Path(before))),
        f"binlogs/{UUID}/{copy_name(2, old)}",
        str(sidecar(Path("binlogs") / UUID / copy_name(2, old))),
    ]
    # A new host that has the old one's destination, and nothing of its own, empties nothing.
    assert expired_names([f"{old}/manifest.json", before], of_one([old]), settings, NOW) == [
        before,
        str(sidecar(Path(before))),
    ]


def test_the_newest_backup_is_taken_but_not_what_a_restore_replaced(tmp_path: Path) -> None:
    backup(tmp_path, "2026-11-20T000000Z")
    backup(tmp_path, "2026-11-21T000000Z", kind="before-restore")
    assert choose(Store(tmp_path), None, None).manifest["id"] == "2026-11-20T000000Z"
    named = choose(Store(tmp_path), "2026-11-21T000000Z", None)
    assert named.manifest["id"] == "2026-11-21T000000Z"
    assert named.copies == []


def test_a_new_host_that_is_still_empty_is_not_restored_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    backup(tmp_path, "2026-11-20T000000Z")
    backup(tmp_path, "2026-11-21T000000Z", server="new", orders=0)
    for until in (None, "latest", "2026-11-22 00:00:00"):
        if until and until != "latest":
            add_copy(tmp_path, 1, "2026-11-22T000000Z")
        found = choose(store, None, until, foreign=True)
        assert found.manifest["id"] == "2026-11-20T000000Z"


def test_backups_of_two_servers_in_one_place_have_to_be_named(tmp_path: Path) -> None:
    backup(tmp_path, "2026-11-20T000000Z", server="aa")
    backup(tmp_path, "2026-11-21T000000Z", server="bb")
    store = Store(tmp_path)
    with pytest.raises(BackupError, match="2026-11-20T000000Z of host-aa; 2026-11-21T000000Z of"):
        choose(store, None, "latest", foreign=True)
    named = choose(store, "2026-11-20T000000Z", "latest", foreign=True)
    assert named.manifest["host"] == "host-aa"
    # The host's own folder: its server was replaced, and what is newest is what it had last.
    assert choose(store, None, None).manifest["host"] == "host-bb"


def test_a_moment_takes_the_backup_before_and_the_logs_until_then(tmp_path: Path) -> None:
    backup(tmp_path, "2026-11-20T000000Z", log=3)
    backup(tmp_path, "2026-11-21T000000Z", log=5)
    for number, stamp in enumerate(["20T000500Z", "20T001000Z", "21T000500Z", "21T001000Z"], 3):
        add_copy(tmp_path, number, f"2026-11-{stamp}")
    store = Store(tmp_path)
    at = choose(store, None, "2026-11-20 00:07:00")
    assert (at.manifest["id"], logs(at)) == ("2026-11-20T000000Z", [3, 4])
    at = choose(store, None, "2026-11-21 00:05:00")
    assert (at.manifest["id"], logs(at)) == ("2026-11-21T000000Z", [5])
    # What was committed in the second of the backup may be in it already.
    assert choose(store, None, "2026-11-21 00:00:00").manifest["id"] == "2026-11-20T000000Z"
    latest = choose(store, None, "latest")
    assert (latest.until, logs(latest)) == (None, [5, 6])


def test_a_moment_that_nothing_reaches_is_refused(tmp_path: Path) -> None:
    backup(tmp_path, "2026-11-20T000000Z")
    add_copy(tmp_path, 1, "2026-11-20T000500Z")
    store = Store(tmp_path)
    with pytest.raises(BackupError, match="end at 2026-11-20 00:05:00 UTC"):
        choose(store, None, "2026-11-20 00:05:01")
    with pytest.raises(BackupError, match="no backup is older"):
        choose(store, None, "2026-11-19 00:00:00")
    # Nothing was written since, says the last run: then there is nothing to replay either.
    noted = {"server_uuid": UUID, "until": "2026-11-20T00:10:00Z"}
    (tmp_path / "last-binlog.json").write_text(json.dumps(noted))
    assert logs(choose(store, None, "2026-11-20 00:10:00")) == [1]


def test_a_missing_log_is_refused_only_where_it_is_needed(tmp_path: Path) -> None:
    backup(tmp_path, "2026-11-20T000000Z")
    for number in (1, 3):
        add_copy(tmp_path, number, f"2026-11-20T000{number}00Z")
    store = Store(tmp_path)
    assert logs(choose(store, None, "2026-11-20 00:01:00")) == [1]
    for until in ("2026-11-20 00:02:00", "latest"):
        with pytest.raises(BackupError, match=r"binlog\.000002 is missing"):
            choose(store, None, until)


@pytest.mark.parametrize("text", ["yesterday", "10:15", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BackupError, match="expected latest, or a time in UTC"):
        parse_until(text)


def test_times_are_utc_unless_they_say_else() -> None:
    assert parse_until("2026-11-22T10:15:00") == datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert parse_until("2026-11-22T10:15:00+02:00") == datetime(2026, 11, 22, 8, 15, tzinfo=UTC)


def test_a_backup_that_is_not_there_is_refused_and_the_others_are_named(tmp_path: Path) -> None:
    backup(tmp_path, "2026-11-20T000000Z")
    with pytest.raises(BackupError, match="there are: 2026-11-20T000000Z"):
        choose(Store(tmp_path), "2026-11-20", None)


@pytest.mark.parametrize("text", ["", "{", '{"id": "x"}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    backup(tmp_path, "2026-11-20T000000Z")
    (tmp_path / "2026-11-20T000000Z" / "manifest.json").write_text(text)
    with pytest.raises(BackupError, match="is damaged"):
        choose(Store(tmp_path), "2026-11-20T000000Z", None)
    with pytest.raises(BackupError, match=r"no backup in .* that can be read"):
        choose(Store(tmp_path), None, None)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_damaged_manifest_is_told_and_stops_nothing_else(
    tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (1, 2, 20):
        backup(tmp_path, f"2026-10-{day:02}T000000Z", log=day)
    damaged = tmp_path / "2026-10-20T000000Z" / "manifest.json"
    damaged.unlink() if text is None else damaged.write_text(text)
    store = Store(tmp_path)
    settings = Settings(directory=tmp_path, keep_at_least=1)

    assert choose(store, None, None).manifest["id"] == "2026-10-02T000000Z"
    assert _oldest_needed(store, UUID) == 1
    assert "2026-10-20T000000Z/manifest.json is damaged" in capsys.readouterr().err
    # It is neither what has to stay nor removed.
    apply_retention(settings, store)
    assert store.ids() == ["2026-10-02T000000Z", "2026-10-20T000000Z"]


@pytest.mark.parametrize("kind", ["rsync", "s3"])
def test_off_the_host_each_server_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The manifests there tell the servers; other people's files are nobody's business."""
    lost, new = "2026-09-01T000000Z", ["2026-10-01T000000Z", "2026-10-02T000000Z"]
    backup(tmp_path, lost, server="lost")
    for name in new:
        backup(tmp_path, name, server="new")
    there = [f"{path.name}/manifest.json" for path in tmp_path.iterdir()]
    removed: list[list[str]] = []

    def fetched(*arguments: Any) -> str:
        if "manifest.json" in " ".join(map(str, arguments)):
            shutil.copytree(tmp_path, arguments[-1], dirs_exist_ok=True)
        return ""

    monkeypatch.setattr(backup_offsite, "_rclone" if kind == "s3" else "_rsync", fetched)
    monkeypatch.setattr(backup_offsite, "_names", lambda _: [*there, "photos/manifest.json"])
    monkeypatch.setattr(backup_offsite, "_remove", lambda _, doomed: removed.append(doomed))
    backup_offsite.send(Settings(directory=Path("/x"), keep_at_least=1, offsite=kind))
    assert removed == [[f"{new[0]}/"]]


def test_a_file_is_compared_with_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    sha256 = checksum(path)
    check_file(path, 7, sha256)
    path.write_bytes(b"c0ntent")
    with pytest.raises(BackupError, match="its SHA-256 is not"):
        check_file(path, 7, sha256)
    path.write_bytes(b"con")
    with pytest.raises(BackupError, match="3 bytes, written were 7"):
        check_file(path, 7, sha256)
    path.unlink()
    with pytest.raises(BackupError, match="is missing"):
        check_file(path, 7, sha256)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('{"directory": "/x", "offsite": "ftp"}', "offsite is 'ftp'; expected one of none"),
        ('{"directory": "/x", "keep_at_least": 0}', "keep_at_least is 0; expected 1 or more"),
        ('{"directory": "/x", "colour": 1}', "colour is unknown"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(
    tmp_path: Path, settings: str, problem: str
) -> None:
    path = tmp_path / "backup.json"
    path.write_text(settings)
    with pytest.raises(BackupError, match=problem):
        backup_settings.load(path)


def test_copies_are_ordered_by_number_not_by_name(tmp_path: Path) -> None:
    for number in (999_999, 1_000_000):
        add_copy(tmp_path, number, "2026-11-20T000000Z")
    found: list[Copy] = Store(tmp_path).copies()
    assert [copy.number for copy in found] == [999_999, 1_000_000]
