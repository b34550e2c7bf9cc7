"""Files of backups: compared with what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.backup.files import check_file, checksum
from order_service.backup.settings import BackupError


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
