"""The service's account, locked for a restore, when MySQL changes meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from order_service.backup.settings import BackupError
from order_service.database import members
from order_service.database.members import Member, Seen
from order_service.restore.writers import Writers

from tests.support.clock import Clock

HERE, OTHER = "10.0.0.1", "10.0.0.2"
UNLOCK = "ALTER USER 'service'@'%' ACCOUNT UNLOCK"


class MySQL:
    """This host's server; `loses` the writes once the account is locked."""

    def __init__(self, *, loses: bool) -> None:
        self.loses, self.locked = loses, False

    def __enter__(self) -> MySQL:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def session(self, *_: str) -> MySQL:
        return self

    def wait_until_up(self, _seconds: float) -> None:
        pass

    def query(self, sql: str) -> list[list[str]]:
        if self.locked and self.loses and sql.startswith("ALTER"):
            raise BackupError("MySQL refused: ERROR 1290")
        if sql.startswith("ALTER"):
            self.locked = sql.endswith(" LOCK")
        return [["1"]] if "CONNECTION_ID" in sql else []


def _writers(mysql: Any) -> Writers:
    return Writers("service", mysql, mysql)


def _use_group(root: Path) -> None:
    (root / "stack").mkdir()
    servers = f"PRIVATE_ADDRESS={HERE}\nDATABASE_SERVERS={HERE}:3306,{OTHER}:3306,10.0.0.3:3306\n"
    (root / "stack" / ".env").write_text(servers)


def _member(address: str, role: str) -> Member:
    seen = Seen(address, address, "ONLINE", role, "9.7.4")
    return Member(address, identity=address, group="g", view=(seen,))


def test_the_account_is_let_in_again_whatever_happens() -> None:
    mysql = MySQL(loses=False)
    seen = []

    def interrupted() -> None:
        seen.append(mysql.locked)
        raise SystemExit

    with pytest.raises(SystemExit), _writers(mysql).kept_out():
        interrupted()
    assert (seen, mysql.locked) == ([True], False)


def test_after_a_failover_the_new_primary_lets_the_account_in(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock has come to all members."""
    _use_group(root)
    told: list[tuple[str, str]] = []
    # The first look finds nobody: an election takes some seconds.
    roles = iter(["SECONDARY", "PRIMARY"])
    monkeypatch.setattr(members, "time", Clock())
    monkeypatch.setattr(
        members, "survey", lambda: [_member(HERE, "SECONDARY"), _member(OTHER, next(roles))]
    )
    monkeypatch.setattr(members, "ask", lambda sql, address: told.append((sql, address)))
    with _writers(MySQL(loses=True)).kept_out():
        pass
    assert told == [(UNLOCK, OTHER)]


def test_that_the_account_is_still_locked_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_group(root)
    monkeypatch.setattr(members, "time", Clock())
    monkeypatch.setattr(members, "survey", lambda: [_member(HERE, "SECONDARY")])
    said = "account service is still locked, .* not within 120 s; .* run deploy.yml"
    with pytest.raises(BackupError, match=said), _writers(MySQL(loses=True)).kept_out():
        pass
