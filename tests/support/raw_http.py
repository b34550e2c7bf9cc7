"""HTTP/1 by hand, for tests that choose what is sent, and in which pieces."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from email.message import Message
from typing import Self

from tests.support.ports import HOST
from tests.support.service_process import AUTHORIZATION

# What the contract allows a request, in seconds.
LONGEST_WAIT = 10.0
AUTHORIZED = f"Authorization: {AUTHORIZATION['authorization']}\r\n".encode()


def post(body: object, version: str = "1.1", fields: bytes = b"") -> bytes:
    """Return a whole POST of an order."""
    data = json.dumps(body).encode()
    head = f"POST /orders HTTP/{version}\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    length = f"Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + AUTHORIZED + fields + length.encode() + data


def get(path: str, version: str = "1.1", fields: bytes = b"") -> bytes:
    """Return a GET with the right credentials."""
    head = f"GET {path} HTTP/{version}\r\nHost: {HOST}\r\n".encode()
    return head + AUTHORIZED + fields + b"\r\n"


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Message
    body: bytes


class RawConnection:
    """One connection to the server; no answer may take longer than is promised."""

    def __init__(self, port: int, timeout: float = LONGEST_WAIT) -> None:
        self.socket = socket.create_connection((HOST, port), timeout)
        # Else the kernel puts the pieces together again.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = self.socket.makefile("rb")

    def send(self, *pieces: bytes) -> None:
        """Send the pieces, each by itself."""
        for piece in pieces:
            self.socket.sendall(piece)

    def interim(self) -> int:
        """Read the next answer's head, which has no fields; return its status."""
        line, end = self._received.readline(), self._received.readline()
        assert end == b"\r\n", (line, end)
        return int(line.split()[1])

    def answer(self) -> Answer:
        """Read the next answer."""
        line = self._received.readline()
        if not line:
            raise ConnectionError("closed instead of an answer")
        headers = http.client.parse_headers(self._received)
        body = self._received.read(int(headers["Content-Length"]))
        return Answer(int(line.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Wait for what comes next; return whether it is the end."""
        return self._received.read(1) == b""

    def close(self) -> None:
        """Close it."""
        self._received.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
