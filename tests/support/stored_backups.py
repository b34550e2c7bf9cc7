"""Backups as they lie in a folder: names and manifests, without what a server would put there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from order_service.backup.store import TIME_FORMAT, Manifest, parse_copy

UUID = "721a9837-e6bb-11f1-999c-0242ac120002"


def add_backup(
    folder: Path,
    name: str,
    *,
    log: int = 1,
    kind: str = "scheduled",
    server: str = UUID,
    orders: int = 5,
    gtids: str = "",
) -> None:
    """Have a full backup, of a server whose binary logs it begins with."""
    (folder / name).mkdir(parents=True)
    manifest = dict.fromkeys(Manifest.__required_keys__)
    manifest |= {"id": name, "kind": kind, "server_uuid": server, "host": f"host-{server[:2]}"}
    manifest |= {"tables": {"orders": {"rows": orders, "checksum": "0"}}}
    manifest |= {"gtid_executed": gtids}
    manifest |= {"binlog": {"file": f"binlog.{log:06}", "position": 4}}
    manifest |= {"file": "orders.sql.zst", "bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    (folder / name / "manifest.json").write_text(json.dumps(manifest))
    (folder / name / "orders.sql.zst").touch()


def copy_name(number: int, stamp: str) -> str:
    """Return the name of a binary log's copy."""
    return f"binlog.{number:06}_{stamp}.zst"


def add_copy(
    folder: Path,
    number: int,
    stamp: str,
    server: str = UUID,
    gtids: tuple[str, str] | None = None,
    *,
    noted: Mapping[str, str | None] | None = None,
) -> None:
    """Have a binary log's copy, and what is written down about it: `gtids` before and after it, and
    what else is `noted`."""
    path = folder / "binlogs" / server / copy_name(number, stamp)
    assert parse_copy(server, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    facts: dict[str, object] = {"log_bytes": 4, **(noted or {})}
    facts |= zip(("gtids_before", "gtids_after"), gtids or (), strict=False)
    path.with_suffix(".json").write_text(json.dumps(facts))


def of_one(backups: list[str]) -> dict[str, str]:
    """Return the server of each backup, which is the same one."""
    return dict.fromkeys(backups, UUID)


def files_in(folder: Path) -> set[str]:
    """Return the names of all files, with their folders."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class Offsite:
    """A host's own backups, and a destination that has more: older ones, another host's, photos."""

    def __init__(self, folder: Path) -> None:
        self.here, self.there = folder / "here", folder / "there"
        recent = f"{datetime.now(UTC) - timedelta(days=1):{TIME_FORMAT}}"
        add_backup(self.here, recent)
        add_copy(self.here, 7, recent)
        (self.here / "last-backup.json").touch()
        self._add(self.here / ".partial-scheduled" / "orders.sql.zst", self.here / ".partial-log")
        self.sent = files_in(self.here) - {".partial-scheduled/orders.sql.zst", ".partial-log"}

        for expired in ("2026-01-01T000000Z", "2026-01-02T000000Z"):
            add_backup(self.there, expired)
            add_copy(self.there, 3, expired)
        # The last one of a server that is gone, and what was copied before it and after it.
        add_backup(self.there, "2025-09-01T000000Z", server="lost")
        add_copy(self.there, 8, "2025-08-31T235959Z", "lost")
        self.expired = {name for name in files_in(self.there) if "2026" in name or "08-31" in name}
        add_copy(self.there, 9, "2025-09-01T000500Z", "lost")
        # Without a manifest it is no backup; and what is other people's.
        self._add(self.there / "2025-01-01T000000Z" / "orders.sql.zst", self.there / "readme",
                  self.there / "photos" / "2026-01-01T000000Z" / "manifest.json",
                  self.there / "binlogs" / UUID / "notes.txt")  # fmt: skip
        self.kept = files_in(self.there) - self.expired

    def _add(self, *paths: Path) -> None:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def assert_only_what_had_its_time_is_gone(self) -> None:
        """Check what a copy and the retention have made of the destination."""
        assert files_in(self.there) == self.sent | self.kept
        assert not list(self.there.glob("2026-01-0*")), "an empty folder looks like a backup"
