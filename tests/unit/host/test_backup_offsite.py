"""Copies off the host: what is removed there, by names and manifests alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from order_service.backup import offsite as backup_offsite
from order_service.backup.offsite import expired_names
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import sidecar
from order_service.host import CommandError

from tests.support.stored_backups import UUID, copy_name, of_one

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


@pytest.mark.parametrize(
    ("retention", "line"),
    [
        ("here", "restrict ssh-ed25519 AAAA order-service-backup@orders-1"),
        (
            "there",
            'restrict,command="rrsync -wo -no-del -no-overwrite -no-lock FOLDER" ssh-ed25519 AAAA'
            " order-service-backup@orders-1",
        ),
    ],
)
def test_a_destination_that_does_not_know_the_host_is_told_what_to_know(
    root: Path, monkeypatch: pytest.MonkeyPatch, retention: str, line: str
) -> None:
    def refused(*_: object, **__: object) -> str:
        raise CommandError("rsync ended with 255: backup@vault: Permission denied (publickey).")

    monkeypatch.setattr(backup_offsite, "run", refused)
    public = "ssh-ed25519 AAAA order-service-backup@orders-1\n"
    (root / "settings" / "backup_key.pub").write_text(public)
    settings = Settings(
        root, offsite="rsync", destination="backup@vault:/", offsite_retention=retention
    )
    with pytest.raises(CommandError) as told:
        backup_offsite.reach(settings)
    assert str(told.value).endswith(
        "backup@vault:/ does not let this host in yet. Append to the authorized_keys of its user:"
        f" {line}"
    )
