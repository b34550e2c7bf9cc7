"""What gunicorn answers to a request that never became one, and what it reads ahead."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

import pytest
from gunicorn import util
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn

from service.gunicorn_worker import RECEIVE_SIZE, OrderServiceWorker, write_json_error


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


def test_it_takes_the_place_of_gunicorns_own() -> None:
    assert util.write_error is write_json_error


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (400, "Bad Request", "Invalid Method 'GÖT'"),
        (400, "Bad Request", ""),
        (413, "Request Entity Too Large", "too large"),
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


def test_what_has_arrived_is_served_before_more_is_read() -> None:
    """A client that sends without end must not fill the memory."""
    config = Config()
    worker = object.__new__(OrderServiceWorker)
    worker.cfg = config
    ping = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        connection = TConn(config, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        for _ in range(1000):
            with suppress(BlockingIOError):
                theirs.send(ping * 10)
            assert worker._has_whole_request(connection)
            parser: Any = connection.parser
            assert next(parser).path == "/ping"
            assert len(parser.unreader.buf.getvalue()) <= RECEIVE_SIZE + len(ping)


def test_an_unknown_transfer_coding_is_the_clients_mistake() -> None:
    line, _, body = answer(501, "Not Implemented", "")
    assert line == "HTTP/1.1 400 Bad Request"
    assert json.loads(body) == {"error": "Bad Request"}
