"""More connections than the process may have open."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.raw_http import RawConnection, get
from tests.support.service_process import Server

OPEN_FILES = 300


@pytest.fixture
def server(tmp_path: Path, sqlite_url: str) -> Iterator[Server]:
    with Server(tmp_path, sqlite_url, limit=f"ulimit -n {OPEN_FILES}") as server:
        yield server.start()


def test_connections_beyond_the_limit_end_no_worker(server: Server) -> None:
    before = server.workers()
    with ExitStack() as stack:
        kept = []
        for _ in range(OPEN_FILES + 50):
            connection = stack.enter_context(RawConnection(server.port))
            connection.send(get("/ping"))
            answer = connection.answer()
            assert answer.status == 200
            if answer.headers["Connection"] == "close":
                connection.socket.shutdown(socket.SHUT_WR)
            else:
                kept.append(connection)
        assert 0 < len(kept) < OPEN_FILES
        assert server.client.get("/ping").status == 200
    assert server.workers() == before
    assert "Traceback" not in server.log
