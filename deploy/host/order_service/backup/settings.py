"""What the backups' programs are told by the role `backup`, in /etc/order-service/backup.json.

container          MySQL's container
database           the schema that is backed up; of a database that somebody else runs, that which
                   its database_url names
directory          where backups lie
public_key         an age or SSH public key; empty or "none": backups are not encrypted
keep_days          full backups older than that go ...
keep_at_least      ... but this many of the newest stay
reserve_megabytes  what a backup leaves free on the disk
scratch_memory     a scratch server's limit, as Docker takes it
offsite            "none", "rsync" or "s3"
destination        rsync: user@host:/folder; s3: bucket/folder
ssh_port           of the rsync destination
offsite_retention  who removes what has had its time there: "here" this host, "there" not it
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from order_service.dotenv import has_external_database
from order_service.host import SETTINGS, read_json
from order_service.secrets import api_clients, secret_files

PATH = SETTINGS / "backup.json"
CHOICES = {"offsite": ("none", "rsync", "s3"), "offsite_retention": ("here", "there")}


class BackupError(Exception):
    """A backup or a restore cannot be done; the text says why, and what to do."""


@dataclass(frozen=True)
class Settings:
    """The file's content."""

    directory: Path
    container: str = "order-service-mysql-1"
    database: str = "orders"
    public_key: str = ""
    keep_days: int = 14
    keep_at_least: int = 7
    reserve_megabytes: int = 1024
    scratch_memory: str = "512m"
    offsite: str = "none"
    destination: str = ""
    ssh_port: int = 22
    offsite_retention: str = "here"

    @property
    def external(self) -> bool:
        """Whether somebody else runs MySQL, so that it is reached by its database_url."""
        return has_external_database()

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
        raise BackupError(f"{path} does not exist; run deploy.yml --tags backup")
    known = {field.name: field.type for field in fields(Settings)}
    if surplus := sorted(found.keys() - known):
        warn(f"{path}: {', '.join(surplus)} is not known to this release, and is left out")
    given = {name: found[name] for name in known if name in found}
    try:
        given |= {name: int(value) for name, value in given.items() if known[name] == "int"}
    except ValueError as problem:
        raise BackupError(f"{path}: {problem}; run deploy.yml") from None
    if given.get("public_key") == "none":
        given["public_key"] = ""
    settings = Settings(**given | {"directory": Path(given["directory"])})
    for name, allowed in CHOICES.items():
        value = getattr(settings, name)
        if value not in allowed:
            expected = ", ".join(allowed)
            raise BackupError(f"{path}: {name} is {value!r}; expected one of {expected}")
    if settings.external:
        url = secret_files.text("database_url", api_clients.VOLUME)
        settings = replace(settings, database=urlsplit(url).path.removeprefix("/"))
    if settings.keep_at_least < 1:
        raise BackupError(f"{path}: keep_at_least is {settings.keep_at_least}; expected 1 or more")
    return settings
