"""Sessions of MySQL: how a server that restarts is waited for."""

from __future__ import annotations

import pytest
from order_service.backup import mysql_session
from order_service.backup.mysql_session import Server, Session
from order_service.backup.settings import BackupError

from tests.support.clock import Clock


@pytest.mark.parametrize("back_after", [20, 40])
def test_a_database_that_restarts_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, back_after: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(mysql_session, "time", clock)

    def query(_server: Server, _sql: str, _seconds: float) -> list[list[str]]:
        if clock.now < back_after:
            raise BackupError("cannot connect")
        return [["1"]]

    monkeypatch.setattr(Server, "query", query)
    server = Server("mysql", "backup")
    if back_after == 20:
        server.wait_until_up(30)
        assert clock.now == pytest.approx(back_after, abs=2)
    else:
        with pytest.raises(BackupError, match="cannot connect"):
            server.wait_until_up(30)
        assert clock.now == pytest.approx(30, abs=2)


def test_a_server_that_is_frozen_is_given_up() -> None:
    with Session(["sleep", "60"]) as session, pytest.raises(BackupError, match=r"within 0\.2 s"):
        session.query("SELECT 1", 0.2)
