"""What the backups are told: refused where it cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.backup import settings as backup_settings
from order_service.backup.settings import BackupError


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('{"directory": "/x", "offsite": "ftp"}', "offsite is 'ftp'; expected one of none"),
        ('{"directory": "/x", "keep_at_least": 0}', "keep_at_least is 0; expected 1 or more"),
        ('{"directory": "/x", "offsite_retention": "nobody"}', "expected one of here, there"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(
    tmp_path: Path, settings: str, problem: str
) -> None:
    path = tmp_path / "backup.json"
    path.write_text(settings)
    with pytest.raises(BackupError, match=problem):
        backup_settings.load(path)


def test_settings_of_a_newer_release_are_told_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So the program that is on the host restores, whoever's playbooks wrote its settings."""
    path = tmp_path / "backup.json"
    path.write_text('{"directory": "/x", "colour": 1, "keep_days": "7", "public_key": "none"}')
    settings = backup_settings.load(path)
    assert (settings.keep_days, settings.public_key) == (7, "")
    assert "colour is not known to this release" in capsys.readouterr().err
