"""Which binary logs lead on from a backup where a group's members have the same transactions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from order_service.backup.retention import expired_backups, histories
from order_service.backup.settings import BackupError
from order_service.backup.store import Store
from order_service.restore.plan import choose

from tests.support.stored_backups import add_backup, add_copy

GROUP = "5d1f0c0e-0000-4000-8000-00000000a001"
DAY = "2026-11-20T"


def g(last: int) -> str:
    return f"{GROUP}:1-{last}"


class Members:
    """Two members' backups in one place: `aa` made the full one, after the group's 10th."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder)
        add_backup(folder, f"{DAY}000000Z", log=7, server="aa", gtids=g(10))

    def copy(self, server: str, number: int, minute: int, before: int, after: int) -> None:
        """Have a log's copy, and the numbers that it begins and ends with."""
        add_copy(self.folder, number, f"{DAY}00{minute:02}00Z", server, (g(before), g(after)))

    def noted(self, minute: int, last: int) -> None:
        """Have it noted how far a third member's logs were copied."""
        state = {"server_uuid": "cc", "until": f"2026-11-20T00:{minute:02}:00Z"}
        state["gtid_executed"] = g(last)
        (self.folder / "last-binlog.json").write_text(json.dumps(state))

    def chosen(self, until: str = "latest") -> list[tuple[str, int]]:
        """Return the logs that are replayed."""
        plan = choose(self.store, None, until, foreign=True)
        return [(copy.server_uuid, copy.number) for copy in plan.copies]


@pytest.fixture
def members(tmp_path: Path) -> Members:
    return Members(tmp_path)


def test_another_members_logs_lead_on_where_a_lost_ones_end(members: Members) -> None:
    members.copy("aa", 7, 5, 8, 20)
    members.copy("aa", 8, 10, 20, 30)
    # The other member's have other numbers, and begin and end elsewhere.
    for number, (before, after) in enumerate([(2, 12), (12, 28), (28, 40), (40, 45)], start=1):
        members.copy("bb", number, 5 * number, before, after)
    assert members.chosen() == [("aa", 7), ("aa", 8), ("bb", 3), ("bb", 4)]
    assert members.chosen("2026-11-20 00:12:00") == [("aa", 7), ("aa", 8), ("bb", 3)]
    # Until then the backup's own are enough.
    assert members.chosen("2026-11-20 00:10:00") == [("aa", 7), ("aa", 8)]


def test_it_goes_back_to_the_first_one_where_the_other_ends(members: Members) -> None:
    members.copy("aa", 7, 5, 8, 20)
    members.copy("bb", 3, 10, 15, 30)
    members.copy("aa", 9, 15, 28, 40)
    assert members.chosen() == [("aa", 7), ("bb", 3), ("aa", 9)]


def test_the_logs_of_another_member_do_alone(members: Members) -> None:
    members.copy("bb", 3, 10, 5, 30)
    assert members.chosen("2026-11-20 00:10:00") == [("bb", 3)]


def test_a_gap_is_refused_and_the_missing_transactions_are_named(members: Members) -> None:
    members.copy("aa", 7, 5, 8, 20)
    members.copy("bb", 3, 10, 25, 30)
    assert members.chosen("2026-11-20 00:05:00") == [("aa", 7)]
    for until in ("2026-11-20 00:06:00", "latest"):
        with pytest.raises(BackupError, match=f"no copy has the transactions {GROUP}:21-25, so"):
            members.chosen(until)


def test_what_a_member_has_noted_counts_where_nothing_is_missing_of_it(members: Members) -> None:
    members.copy("aa", 7, 5, 8, 20)
    members.noted(30, 20)
    assert members.chosen("2026-11-20 00:30:00") == [("aa", 7)]
    members.noted(30, 21)
    with pytest.raises(BackupError, match="end at 2026-11-20 00:05:00 UTC"):
        members.chosen("2026-11-20 00:30:00")


def test_copies_of_another_shop_are_no_gap(members: Members) -> None:
    members.copy("aa", 7, 5, 8, 20)
    add_copy(members.folder, 1, f"{DAY}000500Z", "other", ("other:1-5", "other:1-9"))
    assert members.chosen() == [("aa", 7)]


def test_copies_of_before_they_noted_it_are_followed_by_those_that_do(members: Members) -> None:
    add_copy(members.folder, 7, f"{DAY}000500Z", "aa")
    members.copy("aa", 8, 10, 20, 30)
    members.copy("bb", 3, 15, 25, 40)
    assert members.chosen() == [("aa", 7), ("aa", 8), ("bb", 3)]


def test_the_members_backups_are_of_one_history(members: Members) -> None:
    """So the newest is known, and as many of them are kept as of one server's."""
    add_backup(members.folder, "2026-11-21T000000Z", server="bb", gtids=g(50))
    assert choose(members.store, None, None, foreign=True).manifest["host"] == "host-bb"
    named = histories(members.store.manifests())
    assert set(named.values()) == {"aa"}
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert expired_backups(named, later, 14, 1) == [f"{DAY}000000Z"]
