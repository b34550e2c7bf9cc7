"""Requests that have arrived as a whole: how they are told, and where their answers collect."""

from __future__ import annotations

import errno
import re

# What tells where a request ends, and what makes its server answer before that.
_FRAMING = re.compile(rb"(?i)\r\n(content-length|transfer-encoding|expect|upgrade)[ \t]*:([^\r]*)")
_LENGTH = re.compile(rb"[ \t]*([0-9]{1,7})[ \t]*")


def is_whole_request(data: bytes) -> bool:
    """Tell whether the bytes hold at least one request, so that to serve it is never to wait.

    False does not mean that there is no request: what is unusual is for gunicorn to read, in a
    thread that may wait.
    """
    head, end_of_head, body = data.partition(b"\r\n\r\n")
    # Some parsers take a bare line feed for the end of a line, and see fields that we do not.
    if not end_of_head or head.count(b"\n") != head.count(b"\r\n"):
        return False
    fields = _FRAMING.findall(head)
    if not fields:
        return True
    if len(fields) > 1 or fields[0][0].lower() != b"content-length":
        return False
    length = _LENGTH.fullmatch(fields[0][1])
    return length is not None and len(body) >= int(length[1])


class Outbox:
    """Stands for the socket while a request is served: collects what is sent, never waits."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def content(self) -> bytes:
        """Return all that was sent."""
        return b"".join(self._parts)

    def sendall(self, data: bytes) -> None:
        """Take the bytes."""
        self._parts.append(data)

    def send(self, data: bytes) -> int:
        """Take the bytes."""
        self._parts.append(data)
        return len(data)

    def recv(self, _size: int) -> bytes:
        """Refuse to wait for more of a request that was whole.

        Raises:
            BlockingIOError: always.
        """
        raise BlockingIOError(errno.EAGAIN, "more of the request is wanted than had arrived")

    def setblocking(self, _blocking: bool) -> None:
        """Nothing blocks here."""

    def settimeout(self, _seconds: float | None) -> None:
        """Nothing blocks here."""

    def gettimeout(self) -> float:
        """Return the time-out of what does not block, in seconds."""
        return 0.0

    def close(self) -> None:
        """Do nothing: what is closed after the answer is the connection."""
