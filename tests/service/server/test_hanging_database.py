"""A database that takes no writes for a while: each request is told so in time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.accepting.batcher import MOST_BATCHES, OVERDUE_SECONDS
from tests.support.databases import locked, order_body
from tests.support.raw_http import LONGEST_WAIT, RawConnection, post
from tests.support.service_process import Server

pytestmark = pytest.mark.slow


def test_orders_behind_orders_that_hang_are_answered_in_time(
    tmp_path: Path, sqlite_url: str
) -> None:
    with (
        Server(tmp_path, sqlite_url, PROCESSOR_THREADS=0).start() as server,
        locked(sqlite_url),
        ExitStack() as stack,
    ):
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
    assert max(waits) < LONGEST_WAIT, waits
    assert "Traceback" not in server.log
