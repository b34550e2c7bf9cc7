"""Real HTTP servers on loopback, which a test answers for."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = 5


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def wants_text(self) -> bool:
        """Whether it asks for anything else than JSON."""
        return "text/plain" in (self.headers["Accept"] or "")


Answers = Callable[[Asked], "tuple[int, object] | None"]


class LocalServer(ThreadingHTTPServer):
    """A server whose clients may hang up at any time."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no trouble; anything else is the test's own fault."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def new_server(
    address: tuple[str, int],
    answers: Answers,
    secured: Callable[[socket.socket], socket.socket] = lambda plain: plain,
) -> ThreadingHTTPServer:
    """Return a server that asks for the answer to each request; None hangs up."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS

        def handle_one_request(self) -> None:
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                return
            given = self.rfile.read(int(self.headers["Content-Length"] or 0))
            answer = answers(Asked(self.command, self.path, self.headers, given))
            if answer is not None:
                status, told = answer
                body = (told if isinstance(told, str) else json.dumps(told)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(LocalServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            connection, client = super().get_request()
            try:
                return secured(connection), client
            except BaseException:
                connection.close()
                raise

    return Server(address, Handler)
