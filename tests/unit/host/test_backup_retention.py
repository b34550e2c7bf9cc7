"""Which backups and binary logs have had their time."""

from __future__ import annotations

from datetime import UTC, datetime

from order_service.backup.retention import expired_backups, expired_copies
from order_service.backup.store import parse_copy

from tests.support.stored_backups import UUID, copy_name, of_one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_old_backups_go_and_the_newest_stay_however_old() -> None:
    backups = ["2026-09-01T000000Z", "2026-10-01T000000Z", "2026-11-01T000000Z"]
    recent = "2026-11-20T000000Z"
    assert expired_backups(of_one([*backups, recent]), NOW, 14, 1) == backups
    assert expired_backups(of_one([*backups, recent]), NOW, 14, 3) == backups[:1]
    assert expired_backups(of_one(backups), NOW, 14, 3) == []
    assert expired_backups(of_one([recent]), NOW, 14, 1) == []


def test_a_replaced_servers_backups_push_out_none_of_the_lost_ones() -> None:
    lost = {"2026-09-01T000000Z": "lost", "2026-09-02T000000Z": "lost"}
    new = {f"2026-10-{day:02}T000000Z": "new" for day in range(1, 5)}
    assert expired_backups(lost | new, NOW, 14, 2) == ["2026-10-01T000000Z", "2026-10-02T000000Z"]
    # Nor keep the lost one's backups the new one's binary logs, or the other way round.
    stamps = ["2026-08-31T000000Z", "2026-09-30T000000Z", "2026-10-02T000000Z"]
    copies = [parse_copy(server, copy_name(1, one)) for server in ("lost", "new") for one in stamps]
    expired = expired_copies([copy for copy in copies if copy], lost | new)
    assert [(copy.server_uuid, copy.copied_at.month) for copy in expired] == [
        ("lost", 8), ("new", 8), ("new", 9),
    ]  # fmt: skip


def test_binary_logs_go_that_end_before_the_oldest_kept_backup() -> None:
    stamps = ["2026-10-31T235959Z", "2026-11-01T000000Z", "2026-11-02T000000Z"]
    copies = [parse_copy(UUID, copy_name(n, stamp)) for n, stamp in enumerate(stamps)]
    present = [copy for copy in copies if copy]
    assert expired_copies(present, of_one(["2026-11-01T000000Z"])) == present[:1]
    assert expired_copies(present, {}) == []
