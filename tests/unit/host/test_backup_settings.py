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
