"""A webhook's receiver that answers, byte by byte, whatever a test wants."""

from __future__ import annotations

import http.client
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message

from tests.support.ports import HOST

Address = tuple[str, int]
# Seconds.
LONG = 10.0


@dataclass(frozen=True)
class Call:
    """One request, as it came: its first line, its fields, its body, and over which connection."""

    line: str
    headers: Message
    body: bytes
    client: Address


def reply(status: int = 200, body: bytes = b"", **fields: object) -> bytes:
    """Return a whole answer; `Retry_After=1` is the field `Retry-After: 1`."""
    given = {"Content_Length": len(body)} | fields
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items()]
    return f"HTTP/1.1 {status} Said\r\n{''.join(lines)}\r\n".encode() + body


class HookReceiver:
    """`answer` is what it sends for each request, or a function that is called with the connection.

    With `hangs_up` it closes the connection after each answer, and sets `hung_up`. `ended` is set
    when the test is over, so that a function need not wait any longer.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls: list[Call] = []
        self.answer: bytes | Callable[[socket.socket], None] = reply()
        self.hangs_up = False
        self.hung_up = threading.Event()
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}/hook?shop=1"

    @property
    def connections(self) -> set[Address]:
        """The connections that requests came by."""
        return {call.client for call in self.calls}

    def silence(self, connection: socket.socket) -> None:
        """Answer nothing for longer than anybody should wait, and close the connection."""
        self.ended.wait(LONG)
        connection.shutdown(socket.SHUT_RDWR)

    def serve(self, handler: socketserver.StreamRequestHandler) -> bool:
        """Take one request and answer it; return whether the connection is used again."""
        line = handler.rfile.readline().decode("latin-1").rstrip()
        if not line:
            return False
        headers = http.client.parse_headers(handler.rfile)
        body = handler.rfile.read(int(headers["Content-Length"] or 0))
        self.calls.append(Call(line, headers, body, handler.client_address))
        if callable(self.answer):
            self.answer(handler.connection)
        else:
            handler.connection.sendall(self.answer)
        return not self.hangs_up


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    receiver: HookReceiver

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().shutdown_request(request)
        self.receiver.hung_up.set()


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        # The client is allowed to go away at any time.
        with suppress(OSError):
            while self.server.receiver.serve(self):
                pass


@contextmanager
def open_receiver() -> Iterator[HookReceiver]:
    """Open a receiver on a port of its own."""
    with _Server((HOST, 0), _Connection) as server:
        found = server.receiver = HookReceiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            found.ended.set()
            server.shutdown()
            thread.join()
