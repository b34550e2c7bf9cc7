"""Which member of a group makes the full backups, and where its live data are restored."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
from order_service.backup import backup, group
from order_service.backup.mysql_session import Server
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import Store
from order_service.restore import restore

from tests.support.stored_backups import add_backup, add_copy

DB1, DB2, DB3 = "10.0.0.1", "10.0.0.2", "10.0.0.3"
Rows = list[list[str]]


def members(here: str, *rows: tuple[str, str, str]) -> Rows:
    """Return what a server tells of its group's members, in the order of their ids."""
    return [[f"id-{host}", host, *rest, str(int(host == here))] for host, *rest in rows]


@pytest.fixture
def settings(root: Path) -> Settings:
    (root / "stack").mkdir()
    servers = ",".join(f"{host}:3306" for host in (DB1, DB2, DB3))
    (root / "stack" / ".env").write_text(f"DATABASE_SERVERS={servers}\n")
    return Settings(root / "store")


def tell(monkeypatch: pytest.MonkeyPatch, rows: Rows) -> None:
    """Have the server tell this of its group."""
    monkeypatch.setattr(
        Server, "query", lambda _, sql, *__: rows if "MEMBER_ID" in sql else [["1"]]
    )


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        ("ONLINE PRIMARY,ONLINE SECONDARY,ONLINE SECONDARY", DB2),
        ("ONLINE SECONDARY,ONLINE PRIMARY,ONLINE SECONDARY", DB1),
        ("ONLINE PRIMARY,RECOVERING SECONDARY,ONLINE SECONDARY", DB3),
        ("ONLINE PRIMARY,UNREACHABLE SECONDARY,UNREACHABLE SECONDARY", DB1),
    ],
)
def test_all_members_choose_the_same_secondary(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, states: str, chosen: str
) -> None:
    pairs = (state.split() for state in states.split(","))
    rows = [(host, state, role) for host, (state, role) in zip((DB1, DB2, DB3), pairs, strict=True)]
    online = [host for host, state, _ in rows if state == "ONLINE"]
    for here in online:
        tell(monkeypatch, members(here, *rows))
        assert group.makes_backups(settings) == (None if here == chosen else chosen)


@pytest.mark.parametrize(
    "rows", [[], members(DB1, (DB1, "OFFLINE", "")), members(DB1, (DB1, "ERROR", "SECONDARY"))]
)
def test_a_member_that_is_not_at_work_makes_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    tell(monkeypatch, rows)
    with pytest.raises(BackupError, match=r"MySQL is (OFFLINE|ERROR) in its group"):
        group.makes_backups(settings)
    with pytest.raises(BackupError, match="no member of the group takes writes"):
        group.writer(settings)


def test_live_data_are_restored_where_writes_are_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here, elsewhere in ((DB1, DB2), (DB2, None)):
        tell(monkeypatch, members(here, (DB1, "ONLINE", "SECONDARY"), (DB2, "ONLINE", "PRIMARY")))
        assert group.writer(settings) == elsewhere


def test_a_member_that_leaves_it_to_another_says_so_and_keeps_nothing_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(monkeypatch, members(DB1, (DB1, "ONLINE", "PRIMARY"), (DB2, "ONLINE", "SECONDARY")))
    # From when it made them itself.
    add_backup(settings.directory, "2026-01-01T000000Z")
    add_copy(settings.directory, 1, "2026-01-01T000500Z")
    for _ in range(2):
        backup.full(settings, "scheduled")
        assert json.loads(capsys.readouterr().out) == {"left_to": DB2}
    store = Store(settings.directory)
    assert store.last("backup") | {"outcome": "ok", "left_to": DB2} == store.last("backup")
    assert (store.ids(), store.copies()) == ([], [])


def test_what_another_member_has_is_not_looked_for_here(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(monkeypatch, members(DB1, (DB1, "ONLINE", "PRIMARY"), (DB2, "ONLINE", "SECONDARY")))
    for asked, reason in (
        ("", f"the newest backups are not here but on {DB2}: "),
        ("2026-01-01T000000Z", "'2026-01-01T000000Z' is not on this host.* -e primary=HOST"),
    ):
        given = Namespace(what="live", until=None, store=None, backup=asked)
        with pytest.raises(BackupError, match=reason):
            restore.restore(settings, given, None)
