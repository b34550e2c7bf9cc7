"""What the backups' programs are told by the role `backup`, in /etc/order-service/backup.json.

container          MySQL's container
database           the schema that is backed up
image              what a scratch server runs where MySQL's container is gone
directory          where backups lie
public_key         an age or SSH public key; empty: backups are not encrypted
keep_days          full backups older than that go ...
keep_at_least      ... but this many of the newest stay
reserve_megabytes  what a backup leaves free on the disk
scratch_memory     a scratch server's limit, as Docker takes it
offsite            "none", "rsync" or "s3"
destination        rsync: user@host:/folder; s3: bucket/folder
ssh_port           of the rsync destination
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from order_service.host import SETTINGS, read_json

PATH = SETTINGS / "backup.json"
OFFSITE_KINDS = ("none", "rsync", "s3")


class BackupError(Exception):
    """A backup or a restore cannot be done; the text says why, and what to do."""


@dataclass(frozen=True)
class Settings:
    """The file's content."""

    directory: Path
    container: str = "order-service-mysql-1"
    database: str = "orders"
    image: str = "mysql:9.7"
    public_key: str = ""
    keep_days: int = 14
    keep_at_least: int = 7
    reserve_megabytes: int = 1024
    scratch_memory: str = "512m"
    offsite: str = "none"
    destination: str = ""
    ssh_port: int = 22

    @property
    def reserve(self) -> int:
        """What a backup leaves free on the disk, in bytes."""
        return self.reserve_megabytes * 1024 * 1024


def warn(text: str) -> None:
    """Tell the operator, beside the answer."""
    sys.stderr.write(f"WARNING: {text}\n")


def load(path: Path = PATH) -> Settings:
    """Return the settings.

    Raises:
        BackupError: there is no such file, or what it says is not allowed.
    """
    found: Any = read_json(path, None)
    if not isinstance(found, dict):
        raise BackupError(f"{path} does not exist; run deploy.yml, whose role `backup` writes it")
    known = {field.name for field in fields(Settings)}
    if surplus := sorted(set(found) - known):
        raise BackupError(f"{path}: {', '.join(surplus)} is unknown; run deploy.yml again")
    settings = Settings(**{**found, "directory": Path(found["directory"])})
    if settings.offsite not in OFFSITE_KINDS:
        expected = ", ".join(OFFSITE_KINDS)
        raise BackupError(f"{path}: offsite is {settings.offsite!r}; expected one of {expected}")
    if settings.keep_at_least < 1:
        raise BackupError(f"{path}: keep_at_least is {settings.keep_at_least}; expected 1 or more")
    return settings
