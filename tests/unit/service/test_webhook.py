"""The webhook handler against a real HTTP server."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import simplejson

from service.config import WEBHOOK_HANDLER, Settings
from service.processing import handlers
from service.processing.handlers import Handler, OrderRejected, OrderTask, load_handler
from tests.support.ports import free_port

SECRET = "s3cret-é"
TASK = OrderTask(
    order_id=2**63 - 1,
    user_id=456,
    item_ids=[1, 2, 3],
    total_amount=Decimal("9999999999.99"),
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678_000),  # noqa: DTZ001 - naive UTC
    attempt=1,
    idempotency_token="order-9223372036854775807",
    cancelled=lambda: False,
)


@dataclass
class Receiver:
    """What the server was sent, and what it answers."""

    port: int
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, Message, bytes]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    silent: threading.Event | None = None
    hang_up: bool = False
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?shop=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server on a port of its own, until the test ends."""

    class RequestHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.requests.append((self.command, self.path, self.headers, body))
            found.connections.add(self.client_address)
            if found.silent is not None:
                found.silent.wait(10)
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = found.hang_up

        do_GET = do_POST = handle_any  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            found.hung_up.set()

    server = Server(("127.0.0.1", 0), RequestHandler)
    found = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        if found.silent is not None:
            found.silent.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


def handler_for(url: str) -> Handler:
    return load_handler(
        Settings(order_handler=WEBHOOK_HANDLER, webhook_url=url, webhook_secret=SECRET)
    )


def test_posts_the_order(receiver: Receiver) -> None:
    handler_for(receiver.url)(TASK)
    [(method, path, headers, body)] = receiver.requests
    assert (method, path) == ("POST", "/hook?shop=1")
    assert headers["Content-Type"] == "application/json"
    order = simplejson.loads(body, parse_float=Decimal)
    assert order["order_id"] == 2**63 - 1
    assert (order["user_id"], order["item_ids"]) == (456, [1, 2, 3])
    assert order["total_amount"] == Decimal("9999999999.99")
    assert re.fullmatch(r"2026-01-02T03:04:05\.678(000)?Z", order["created_at"])


def test_signs_the_raw_body(receiver: Receiver) -> None:
    handler_for(receiver.url)(TASK)
    [(_, _, headers, body)] = receiver.requests
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Signature-256"] == f"sha256={digest}"


def test_each_attempt_has_the_same_token(receiver: Receiver) -> None:
    receiver.status = 500
    handle = handler_for(receiver.url)
    for attempt in (1, 2, 3):
        with pytest.raises(ConnectionError):
            handle(replace(TASK, attempt=attempt))
    tokens = {headers["Idempotency-Key"] for _, _, headers, _ in receiver.requests}
    assert tokens == {TASK.idempotency_token}
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("status", [200, 204, 299])
def test_2xx_completes(receiver: Receiver, status: int) -> None:
    receiver.status = status
    handler_for(receiver.url)(TASK)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [400, 422, 499])
def test_4xx_fails_for_good(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(OrderRejected, match=str(status)):
        handler_for(receiver.url)(TASK)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 599, 304, 600])
def test_anything_else_is_retried(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(ConnectionError, match=str(status)):
        handler_for(receiver.url)(TASK)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.status = status
    receiver.headers = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    with pytest.raises(ConnectionError):
        handler_for(receiver.url)(TASK)
    assert [path for _, path, _, _ in receiver.requests] == ["/hook?shop=1"]


def test_nobody_there_is_retried() -> None:
    with pytest.raises(ConnectionError):
        handler_for(f"http://127.0.0.1:{free_port()}/")(TASK)


def test_a_server_that_does_not_answer_is_retried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "WEBHOOK_READ_TIMEOUT", 0.05)
    receiver.silent = threading.Event()
    with pytest.raises(ConnectionError):
        handler_for(receiver.url)(TASK)
    assert len(receiver.requests) == 1


def test_the_time_outs_are_shorter_than_an_attempt_may_take() -> None:
    longest = handlers.WEBHOOK_CONNECT_TIMEOUT + handlers.WEBHOOK_READ_TIMEOUT
    assert longest < Settings().processor_handler_timeout_seconds


def test_a_connection_is_used_again(receiver: Receiver) -> None:
    handle = handler_for(receiver.url)
    for _ in range(3):
        handle(TASK)
    assert (len(receiver.requests), len(receiver.connections)) == (3, 1)


def test_a_connection_that_was_closed_is_replaced(receiver: Receiver) -> None:
    receiver.hang_up = True
    handle = handler_for(receiver.url)
    for _ in range(3):
        handle(TASK)
        assert receiver.hung_up.wait(10)
        receiver.hung_up.clear()
    assert (len(receiver.requests), len(receiver.connections)) == (3, 3)


def test_no_secret_in_what_is_said(receiver: Receiver) -> None:
    receiver.status = 400
    with pytest.raises(OrderRejected) as caught:
        handler_for(receiver.url)(TASK)
    assert SECRET not in str(caught.value)
    assert SECRET.encode() not in receiver.requests[0][3]
