"""What operators ask of the real server, with two workers: whole requests, and such in parts."""

from __future__ import annotations

import base64
import json
import socket
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import order_body
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.service_process import Server

pytestmark = pytest.mark.slow

SECONDS = 30.0
OBEYED_SECONDS = 2.0
CREDENTIALS = base64.b64encode(b"admin:securepassword").decode()


def ask(
    server: Server, method: str, path: str, body: object = None, *, parts: bool = False
) -> tuple[int, Any]:
    """Send a request, its head and its body apart if it is to come in parts."""
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Basic {CREDENTIALS}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for sent in (head, data) if parts else (head + data,):
            connection.sendall(sent)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_pause_cancel_retry_and_resume(tmp_path: Path, url: str, store: Store, parts: bool) -> None:
    with Server(tmp_path, url, WEB_CONCURRENCY=2, SIMULATE_MAX_MILLISECONDS=0) as server:
        server.start()
        reason = {"reason": "the receiver is moved"}
        status, paused = ask(server, "POST", "/processing/pause", reason, parts=parts)
        assert (status, paused["paused"], paused["paused_by"]) == (200, True, "admin")

        def is_obeyed() -> bool:
            before = store.statistics().total
            accepted = range(before + 1, before + 5)
            for number in accepted:
                assert ask(server, "POST", "/orders", order_body(number), parts=parts)[0] == 201
            return all(store.order(number).status == "Pending" for number in accepted)

        wait_until(is_obeyed, OBEYED_SECONDS, "processors that pause")
        last = store.statistics().total
        assert ask(server, "POST", f"/orders/{last}/cancel", parts=parts) == (
            200,
            {"order_id": last, "status": "Cancelled"},
        )
        assert ask(server, "GET", f"/orders/{last}/attempts") == (200, {"attempts": []})
        wanted = {"action": "cancel", "filter": {"user_id": 456}}
        status, operation = ask(server, "POST", "/operations", wanted, parts=parts)
        assert status == 202
        path = f"/operations/{operation['operation_id']}"
        wait_until(lambda: ask(server, "GET", path)[1]["state"] == "Completed", SECONDS, "its end")
        figures = store.statistics()
        assert figures.pending == 0, "an operation runs while processing pauses"
        assert ask(server, "GET", path)[1]["changed"] == figures.cancelled - 1
        assert ask(server, "POST", "/processing/resume", parts=parts)[1]["paused"] is False
        assert ask(server, "POST", "/orders", order_body(last + 1), parts=parts)[0] == 201
        wait_until(
            lambda: store.order(last + 1).status == "Completed", SECONDS, "an order after it"
        )
        status, figures_told = ask(server, "GET", "/metrics")
        assert figures_told["cancelled_orders"] == store.statistics().cancelled
        assert figures_told["total_orders"] == last + 1
        assert "Traceback" not in server.log
