"""What gunicorn answers to a request that never became one.

That the server answers so, and how it reads, is in service/server/test_raw_http.py.
"""

from __future__ import annotations

import json
import socket

import pytest

from service.server.worker import write_json_error


def answer(status: int, reason: str, message: str) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, the headers and the body that a client reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write_json_error(ours, status, reason, message)
        ours.close()
        data = b"".join(iter(lambda: theirs.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("ascii").split("\r\n")
    return line, dict(one.split(": ", 1) for one in fields), body


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (400, "Bad Request", "Invalid Method 'GÖT'"),
        (431, "Request Header Fields Too Large", '<b>limit</b> "exceeded"\r\nX: y'),
        (500, "Internal Server Error", ""),
    ],
)
def test_it_is_json(status: int, reason: str, message: str) -> None:
    line, headers, body = answer(status, reason, message)
    assert line == f"HTTP/1.1 {status} {reason}"
    assert headers["Content-Type"] == "application/json"
    assert int(headers["Content-Length"]) == len(body)
    assert headers["Connection"] == "close"
    assert len(headers["X-Request-ID"]) == 32
    assert json.loads(body) == {"error": message or reason}


def test_an_unknown_transfer_coding_is_the_clients_mistake() -> None:
    line, _, body = answer(501, "Not Implemented", "")
    assert line == "HTTP/1.1 400 Bad Request"
    assert json.loads(body) == {"error": "Bad Request"}
