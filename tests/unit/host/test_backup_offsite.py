"""Copies off the host: what is removed there, by names and manifests alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from order_service.backup import offsite as backup_offsite
from order_service.backup.offsite import expired_names
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import sidecar

from tests.support.stored_backups import UUID, Offsite, copy_name, files_in, of_one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


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


@pytest.fixture
def offsite(tmp_path: Path) -> Offsite:
    return Offsite(tmp_path)


class Bucket:
    """Stands in for rclone and an S3 store, which no test has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: Sequence[str], **_: object) -> str:
        """Do what rclone does with a bucket, as far as backups need it."""
        assert command[:2] == ["rclone", "--config"]
        match command[3:]:
            case ["copy", "--files-from-raw", listed, source, target]:
                here, there = (self._folder(place) for place in (source, target))
                for path in Path(listed).read_text().splitlines():
                    (there / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(here / path, there / path)
            case ["lsf", "--recursive", "--files-only", *form, "offsite:bucket/copies"]:
                assert form == ["--format", "sp", "--separator", " "]
                names = sorted(files_in(self.folder))
                return "".join(f"{(self.folder / name).stat().st_size} {name}\n" for name in names)
            case ["delete", "--rmdirs", "--include-from", patterns, "offsite:bucket/copies"]:
                for pattern in Path(patterns).read_text().splitlines():
                    doomed = self.folder / pattern.removesuffix("**").strip("/")
                    shutil.rmtree(doomed) if pattern.endswith("/**") else doomed.unlink(True)
            case _:
                raise AssertionError(f"nobody has said what comes of {command}")
        return ""

    def _folder(self, place: str) -> Path:
        return self.folder if place == "offsite:bucket/copies" else Path(place)


def test_an_s3_store_gets_what_is_new_and_loses_what_had_its_time(
    offsite: Offsite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What rclone is asked for, that is; tests/programs has the same with a real rsync."""
    monkeypatch.setattr(backup_offsite, "run", Bucket(offsite.there).run)
    settings = Settings(offsite.here, keep_at_least=1, offsite="s3", destination="bucket/copies")
    assert backup_offsite.send_binlogs(settings) == "bucket/copies"
    assert backup_offsite.send_backups(settings) == "bucket/copies"
    offsite.assert_only_what_had_its_time_is_gone()
    fetched = tmp_path / "fetched"
    sizes = backup_offsite.index(settings, fetched)
    assert sizes.keys() == files_in(offsite.there)
    assert {path.name for path in fetched.glob("*/*") if path.is_file()} == {"manifest.json"}


def test_without_a_destination_nothing_is_copied_and_nothing_can_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> str:
        raise AssertionError("nothing is there to be run")

    monkeypatch.setattr(backup_offsite, "run", never)
    for send in (backup_offsite.send_binlogs, backup_offsite.send_backups):
        assert send(Settings(tmp_path)) == "none"
    with pytest.raises(BackupError, match="there is no copy off this host: set backup_destination"):
        backup_offsite.index(Settings(tmp_path), tmp_path)
