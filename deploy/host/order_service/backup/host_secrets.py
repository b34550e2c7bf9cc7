"""What makes a new host the lost one to its clients: passwords, signing secrets, the authority.

Only what somebody outside knows. The passwords of MySQL's accounts are each host's own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from order_service.backup.files import pack, suffix, unpack
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import PackedFile
from order_service.host import AUTHORITY, RUN, write_text
from order_service.program import LINK
from order_service.release import ledger
from order_service.secrets import api_clients, secret_files

# Of the service's volume; a client's secret is in that of the migrations.
OF_SERVICE = ("auth_password*", "webhook_secret*", "events_secret*")
OF_CLIENTS = ("client_*",)
_NAME = "secrets.tar"


def keep(folder: Path, settings: Settings) -> PackedFile:
    """Write them to a file in the folder, encrypted to the public key.

    Raises:
        BackupError, CommandError: that failed.
    """
    if not settings.public_key:
        raise BackupError("secrets are written to a backup only where backup_public_key is set")
    command = ["tar", "--create", "--numeric-owner", "--file=-"]
    for place, patterns in _places():
        names = sorted(path.name for one in patterns for path in place.glob(one))
        command += [f"--directory={place}", *(f"./{name}" for name in names)] if names else []
    name = f"{_NAME}{suffix(settings.public_key)}"
    packed = pack(command, folder / name, public_key=settings.public_key, reserve=settings.reserve)
    return PackedFile(file=name, bytes=packed.bytes, sha256=packed.sha256)


@dataclass(frozen=True)
class Packed:
    """A backup's file of secrets, and the private key to it."""

    file: Path
    identity: Path | None


def bring_back(packed: Packed) -> list[str]:
    """Put what is in the file in the place of this host's own; return the names.

    Programs that have read the former ones have to be started again, and nginx needs a certificate
    of this authority.

    Raises:
        BackupError: the file is damaged, or its key is missing or wrong.
    """
    with _in_memory() as folder:
        into = ["tar", "--extract", f"--directory={folder}", "--file=-"]
        unpack(packed.file, into, packed.identity)
        names = []
        for place, patterns in _places():
            for path in sorted(path for one in patterns for path in folder.glob(one)):
                _put(path, place / path.name)
                names.append(path.name)
    return names


def is_younger(moment: datetime) -> bool:
    """Return whether this host was set up after that moment.

    Its ledger forgets its first releases, but the program's link is as old as the host.
    """
    deployed = [datetime.fromisoformat(one["deployed_at"]) for one in ledger.read()["releases"]]
    if not deployed:
        return False
    if LINK.is_symlink():
        deployed.append(datetime.fromtimestamp(LINK.lstat().st_mtime, UTC))
    return min(deployed) > moment


def _places() -> Iterator[tuple[Path, tuple[str, ...]]]:
    yield secret_files.folder(), OF_SERVICE
    yield secret_files.folder(api_clients.VOLUME), OF_CLIENTS
    yield AUTHORITY, ("ca.*",)


def _put(source: Path, target: Path) -> None:
    facts = source.stat()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_text(target, source.read_text(encoding="utf-8"), facts.st_mode & 0o777)
    os.chown(target, facts.st_uid, facts.st_gid)


@contextmanager
def _in_memory() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="order-service-secrets-", dir=RUN))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
