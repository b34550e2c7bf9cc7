"""A database that takes no writes for a while: each request is told so in time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from service.accepting.batcher import MOST_BATCHES, OVERDUE_SECONDS
from tests.support.databases import order_body
from tests.support.raw_http import LONGEST_WAIT, RawConnection, post
from tests.support.service_process import Server

pytestmark = pytest.mark.slow


def test_orders_behind_orders_that_hang_are_answered_in_time(
    tmp_path: Path, sqlite_url: str
) -> None:
    database = str(make_url(sqlite_url).database)
    with (
        Server(tmp_path, sqlite_url, PROCESSOR_THREADS=0) as server,
        closing(sqlite3.connect(database, isolation_level=None)) as other,
        ExitStack() as stack,
    ):
        server.start()
        other.execute("BEGIN IMMEDIATE")
        clients = []
        waits = []
        # The first ones fill the batches that may be under way, and the others wait for those.
        for number in range(1, 2 * (MOST_BATCHES + 2) + 1):
            client = stack.enter_context(RawConnection(server.port))
            data = post(order_body(number))
            client.send(*([data] if number % 2 else [data[:-20], data[-20:]]))
            clients.append((client, time.monotonic()))
            time.sleep(OVERDUE_SECONDS / 2)
        for client, sent in clients:
            answer = client.answer()
            waits.append(time.monotonic() - sent)
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
        other.execute("ROLLBACK")
    assert max(waits) < LONGEST_WAIT, waits
    assert "Traceback" not in server.log
