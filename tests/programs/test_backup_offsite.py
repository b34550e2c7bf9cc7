"""Copies off the host with a real rsync, to another folder: what arrives and what is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.backup import offsite as backup_offsite
from order_service.backup.settings import Settings
from order_service.host import CommandError

from tests.support.stored_backups import Offsite, files_in


def test_what_is_new_arrives_and_what_had_its_time_goes(tmp_path: Path) -> None:
    offsite = Offsite(tmp_path)
    settings = Settings(
        offsite.here, keep_at_least=1, offsite="rsync", destination=str(offsite.there)
    )
    assert backup_offsite.send(settings) == str(offsite.there)
    offsite.assert_only_what_had_its_time_is_gone()
    # Once more, with nothing left to do.
    backup_offsite.send(settings)
    offsite.assert_only_what_had_its_time_is_gone()
    backup_offsite.fetch(settings, tmp_path / "fetched")
    assert files_in(tmp_path / "fetched") == files_in(offsite.there)


def test_a_destination_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    offsite = Offsite(tmp_path)
    nowhere = str(tmp_path / "no" / "such" / "folder")
    settings = Settings(offsite.here, offsite="rsync", destination=nowhere)
    with pytest.raises(CommandError, match=r"(?s)rsync .*No such file or directory"):
        backup_offsite.send(settings)
