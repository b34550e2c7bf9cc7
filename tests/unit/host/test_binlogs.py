"""Which binary logs are copied already, where a cloned server numbers its own anew; and up to when
the copies are complete."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import ClassVar, Self

import pytest
from order_service.backup import binlogs
from order_service.backup.backup import open_store
from order_service.backup.binlog_events import MAGIC
from order_service.backup.binlogs import copied_already, copy_closed
from order_service.backup.mysql_session import Server
from order_service.backup.settings import Settings
from order_service.backup.store import Store

from tests.support.stored_backups import UUID, add_copy


def numbers(folder: Path, open_log: int) -> list[int]:
    found = copied_already(Store(folder), UUID, open_log)
    assert {size for _, size in found} <= {4}
    return sorted(int(log.rpartition(".")[2]) for log, _ in found)


def test_the_logs_of_before_a_server_was_cloned_are_not_those_it_has_now(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        add_copy(tmp_path, number, f"2026-11-20T000{number}00Z")
    assert numbers(tmp_path, 4) == [1, 2, 3]
    # It has just begun anew.
    assert numbers(tmp_path, 2) == []
    add_copy(tmp_path, 1, "2026-11-20T001000Z")
    add_copy(tmp_path, 2, "2026-11-20T001000Z")
    assert numbers(tmp_path, 3) == [1, 2]


def test_a_copy_of_which_nothing_is_noted_is_made_again(tmp_path: Path) -> None:
    for number in (1, 2):
        add_copy(tmp_path, number, f"2026-11-20T000{number}00Z")
    next(tmp_path.glob("binlogs/*/binlog.000001_*.json")).unlink()
    assert numbers(tmp_path, 3) == [2]


class Closed:
    """A member's session, with three logs of which one is open; keeps what it was asked."""

    asked: ClassVar[list[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def query(self, sql: str) -> list[list[str]]:
        self.asked.append(sql)
        if "@@server_uuid" in sql:
            return [[UUID, "/var/lib/mysql/binlog", "", ""]]
        if sql == "SHOW BINARY LOGS":
            return [[f"binlog.{number:06}", "4", "No"] for number in (1, 2, 3)]
        return [["binlog", "4", "Previous_gtids", "1", "4", ""]] if "EVENTS" in sql else []


@pytest.fixture
def copied(root: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    (root / "stack").mkdir()
    servers = ",".join(f"10.0.0.{number}:3306" for number in (1, 2, 3))
    (root / "stack" / ".env").write_text(f"DATABASE_SERVERS={servers}\n")
    Closed.asked.clear()
    monkeypatch.setattr(Server, "session", lambda _: Closed())
    monkeypatch.setattr(binlogs, "run", lambda command, **_: Path(command[-1]).write_bytes(MAGIC))
    settings = Settings(root / "store", reserve_megabytes=0)
    store = open_store(settings)
    copy_closed(settings, store)
    return store


def test_a_member_waits_for_what_the_group_has_before_it_says_how_far_it_has_come(
    copied: Store,
) -> None:
    """MySQL holds back only what reads a table, and none of its performance schema."""
    assert len(copied.copies()) == 2
    setting, waits, reads, *_ = Closed.asked
    assert "group_replication_consistency = 'BEFORE'" in setting
    assert "FROM information_schema." in waits
    assert "@@gtid_executed" in reads


def test_of_logs_that_are_copied_at_once_the_last_one_alone_is_complete(copied: Store) -> None:
    earlier, last = copied.copies()
    assert copied.copy_facts(earlier)["complete_until"] is None
    until = datetime.fromisoformat(copied.copy_facts(last)["complete_until"] or "")
    assert until == last.copied_at
