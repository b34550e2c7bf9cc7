"""A receiver of orders, or of events, that can be away: a real HTTP server, which notes each
call."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

import simplejson

from tests.support.answering_server import LocalServer
from tests.support.ports import free_port


@dataclass(frozen=True)
class ReceivedCall:
    """A call: when it came, by `time.monotonic`, of which order, and what was answered."""

    at: float
    order_id: int
    status: int
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A receiver on a port of its own; `status` is what it answers, and 0 stands for nothing.

    `poisonous` orders get `poison` always, whatever the others get. It waits `seconds` before each
    answer.
    """

    def __init__(self, poisonous: Collection[int] = ()) -> None:
        self.port = free_port()
        self.status = 200
        self.retry_after: str | None = None
        self.poisonous = poisonous
        self.poison = 503
        self.seconds = 0.0
        self.calls: list[ReceivedCall] = []
        self._server: LocalServer | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes the service call it."""
        url = f"http://127.0.0.1:{self.port}/hook"
        return {"ORDER_HANDLER": "webhook", "WEBHOOK_URL": url, "WEBHOOK_SECRET": "secret"}

    @property
    def events(self) -> dict[str, str]:
        """What makes the service send it events."""
        url = f"http://127.0.0.1:{self.port}/events"
        return {"EVENTS_URL": url, "EVENTS_SECRET": "secret"}

    def answered(self, status: int) -> Counter[int]:
        """Return how often each order was answered with this status."""
        return Counter(call.order_id for call in list(self.calls) if call.status == status)

    def open(self) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        class Server(LocalServer):
            allow_reuse_address = True
            request_queue_size = 128
            open_sockets: set[socket.socket]

            def get_request(self) -> tuple[socket.socket, Any]:
                found, address = super().get_request()
                self.open_sockets.add(found)
                return found, address

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.open_sockets = set()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and end those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            for found in self._server.open_sockets:  # type: ignore[attr-defined]
                try:
                    found.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a call."""
        told = simplejson.loads(body)
        order_id = told.get("data", told)["order_id"]
        status = self.poison if order_id in self.poisonous else self.status
        headers = dict(request.headers.items())
        self.calls.append(ReceivedCall(time.monotonic(), order_id, status, headers, body))
        if self.seconds:
            time.sleep(self.seconds)
        if not status:
            request.close_connection = True
            return
        request.send_response(status)
        if self.retry_after is not None and status != 200:
            request.send_header("Retry-After", self.retry_after)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
