"""What gunicorn answers to a request that never became one.

That the server answers so, and how it reads, is in service/server/test_raw_http.py.
"""

from __future__ import annotations

import json
import socket
from http import HTTPStatus

import pytest

from service.server.refusals import StatusOnly, refuse


def answer(status: HTTPStatus, problem: str) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, the headers and the body that a client reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        refuse(ours, status, problem)
        ours.close()
        data = b"".join(iter(lambda: theirs.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("ascii").split("\r\n")
    return line, dict(one.split(": ", 1) for one in fields), body


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (HTTPStatus.BAD_REQUEST, "Invalid Method 'GÖT'"),
        (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, '<b>limit</b> "exceeded"\r\nX: y'),
    ],
)
def test_it_is_json(status: HTTPStatus, problem: str) -> None:
    line, headers, body = answer(status, problem)
    assert line == f"HTTP/1.1 {int(status)} {status.phrase}"
    assert headers["Content-Type"] == "application/json"
    assert int(headers["Content-Length"]) == len(body)
    assert headers["Connection"] == "close"
    assert len(headers["X-Request-ID"]) == 32
    assert json.loads(body) == {"error": problem}


def test_the_servers_own_mistake_says_nothing_of_it() -> None:
    line, _, body = answer(HTTPStatus.INTERNAL_SERVER_ERROR, "secret")
    assert line == "HTTP/1.1 500 Internal Server Error"
    assert json.loads(body) == {"error": "Internal Server Error"}


def test_an_unknown_transfer_coding_is_the_clients_mistake() -> None:
    line, _, body = answer(HTTPStatus.NOT_IMPLEMENTED, "")
    assert line == "HTTP/1.1 400 Bad Request"
    assert json.loads(body) == {"error": "Bad Request"}


def test_the_status_of_a_page_is_kept() -> None:
    page = StatusOnly()
    page.sendall(b"HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n<html>")
    assert page.status == 431
