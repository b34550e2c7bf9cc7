"""Copies off the host with a real rsync, to another folder: what arrives and what is deleted."""

from __future__ import annotations

import shutil
import subprocess
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from order_service.backup import offsite as backup_offsite
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import Store
from order_service.host import CommandError
from order_service.restore.source import OFFSITE, Source, planned

from tests.support.backups import STAND_INS
from tests.support.stored_backups import Offsite, add_backup, add_copy, files_in

DISK_USAGE = "order_service.backup.store.shutil.disk_usage"


def test_what_is_new_arrives_and_what_had_its_time_goes(tmp_path: Path) -> None:
    offsite = Offsite(tmp_path)
    settings = Settings(
        offsite.here, keep_at_least=1, offsite="rsync", destination=str(offsite.there)
    )
    # Once more, with nothing left to do.
    for _ in range(2):
        assert backup_offsite.send_binlogs(settings) == str(offsite.there)
        assert backup_offsite.send_backups(settings) == str(offsite.there)
        offsite.assert_only_what_had_its_time_is_gone()


def test_a_destination_that_cannot_be_reached_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_offsite, "KEY", tmp_path / "backup_key")
    offsite = Offsite(tmp_path)
    nowhere = str(tmp_path / "no" / "such" / "folder")
    settings = Settings(offsite.here, offsite="rsync", destination=nowhere)
    for go in (backup_offsite.send_backups, backup_offsite.send_binlogs, backup_offsite.reach):
        with pytest.raises(CommandError, match=r"(?s)rsync .*No such file or directory"):
            go(settings)
    # What the destination has to know is there by then.
    assert (tmp_path / "backup_key.pub").read_text().startswith("ssh-ed25519 ")


def test_a_restore_fetches_what_it_needs_and_asks_for_room_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, fetched = (tmp_path / name for name in ("here", "there", "fetched"))
    for day in (1, 2):
        add_backup(there, f"2026-11-0{day}T000000Z", log=day)
        add_copy(there, day, f"2026-11-0{day}T000500Z")
    for folder in (here, fetched):
        folder.mkdir()
    settings = Settings(here, offsite="rsync", destination=str(there))
    asked = Namespace(store=Path(OFFSITE), backup=None, until=None)
    source = Source(Store(fetched), None, fetched, foreign=True)
    monkeypatch.setattr(DISK_USAGE, lambda _: SimpleNamespace(free=0))
    with pytest.raises(BackupError, match="MiB free; this needs"):
        planned(settings, asked, source)
    assert not list(fetched.rglob("orders.sql*"))
    monkeypatch.undo()
    assert planned(settings, asked, source).manifest["id"] == "2026-11-02T000000Z"
    assert [path.parent.name for path in fetched.rglob("orders.sql*")] == ["2026-11-02T000000Z"]


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A destination that this host may only write to, with a backup that had its time."""
    wanted = ["-wo", "-no-del", "-no-lock", "-no-overwrite"]
    known = subprocess.run(["rrsync", "-h"], check=True, capture_output=True, text=True).stdout
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").symlink_to(STAND_INS / "backup_ssh.sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("RRSYNC", " ".join(one for one in wanted if one in known))
    offsite = Offsite(tmp_path)
    monkeypatch.setenv("THERE", str(offsite.there))
    return Settings(
        offsite.here,
        keep_at_least=1,
        offsite="rsync",
        destination="backup@vault:/",
        offsite_retention="there",
    )


def test_a_host_can_only_add_where_the_destination_decides_on_the_retention(
    tmp_path: Path, vault: Settings
) -> None:
    there = tmp_path / "there"
    before = files_in(there)
    sent = {path for path in files_in(vault.directory) if not path.startswith(".")}
    for _ in range(2):
        backup_offsite.send_binlogs(vault)
        backup_offsite.send_backups(vault)
    assert files_in(there) == before | sent
    # The other way needs more than it has.
    with pytest.raises(CommandError, match=r"rsync"):
        backup_offsite.send_backups(replace(vault, offsite_retention="here"))
    # Whoever took the host over empties nothing there, and changes nothing.
    (dump,) = vault.directory.glob("20*/orders.sql.zst")
    name = dump.relative_to(vault.directory)
    dump.write_text("ransom")
    backup_offsite.send_backups(vault)
    shutil.rmtree(dump.parent)
    dump.parent.mkdir()
    nothing, arguments = f"{vault.directory}/", ["--recursive", "--delete"]
    subprocess.run(["rsync", *arguments, nothing, vault.destination], check=False)
    assert files_in(there) == before | sent
    help_text = subprocess.run(["rrsync", "-h"], check=True, capture_output=True, text=True)
    assert (there / name).read_bytes() == b"" or "-no-overwrite" not in help_text.stdout
