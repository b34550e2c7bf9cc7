"""Which binary logs are copied already, where a cloned server numbers its own anew."""

from __future__ import annotations

from pathlib import Path

from order_service.backup.binlogs import copied_already
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
