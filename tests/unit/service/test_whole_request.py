"""Which requests the event loop serves itself: whole ones, of the usual kind."""

from __future__ import annotations

import pytest

from service.server.whole_request import Outbox, is_whole_request

GET = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /orders HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "data",
    [
        GET + b"\r\n",
        GET + b"\r\n" + GET,
        POST + b"Content-Length: 4\r\n\r\nbody",
        POST + b"content-length:4\r\nX: y\r\n\r\nbody" + GET,
        POST + b"CONTENT-LENGTH: 0 \r\n\r\n",
        GET + b"X-Content-Length: 9\r\n\r\n",
    ],
)
def test_whole(data: bytes) -> None:
    assert is_whole_request(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GET,
        GET + b"\r",
        POST + b"Content-Length: 5\r\n\r\nbody",
        POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        POST + b"Content-Length: +4\r\n\r\nbody",
        POST + b"Content-Length: 0x4\r\n\r\nbody",
        POST + b"Content-Length: 99999999\r\n\r\nbody",
        POST + b"Content-Length:\r\n\r\nbody",
        POST + b"Content-Length : 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
        GET + b"Upgrade: websocket\r\n\r\n",
        POST + b"X: y\nContent-Length: 5\r\n\r\n",
        POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /ping HTTP/1.1\nHost: localhost\n\n" + GET + b"\r\n",
    ],
)
def test_not_whole_or_not_usual(data: bytes) -> None:
    assert not is_whole_request(data)


def test_what_stands_for_the_socket_never_waits() -> None:
    outbox = Outbox()
    outbox.settimeout(5)
    outbox.sendall(b"a")
    assert outbox.send(b"bc") == 2
    with pytest.raises(BlockingIOError):
        outbox.recv(1)
    outbox.close()
    assert outbox.content() == b"abc"
