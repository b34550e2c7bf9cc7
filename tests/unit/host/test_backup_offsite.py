"""Copies off the host: what is removed there, by names and manifests alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from order_service.backup import offsite as backup_offsite
from order_service.backup.settings import BackupError, Settings
from order_service.host import CommandError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


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
    (root / "settings" / "backup_key").touch()
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
