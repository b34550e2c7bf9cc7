"""Header fields that only the real server sees as they were sent: `Expect`, and repeated ones."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator

import pytest

from tests.support.databases import order_body
from tests.support.raw_http import AUTHORIZED, Answer, RawConnection, get, post
from tests.support.service_process import Server

HEAD = b"POST /orders HTTP/1.1\r\nHost: localhost\r\n"
JSON, EXPECT = b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n"
# Seconds within which nothing else is to come.
QUIET = 0.3
REFUSED = {
    "no credentials": (401, JSON + b"Content-Length: 100\r\n"),
    "another media type": (415, AUTHORIZED + b"Content-Type: text/plain\r\nContent-Length: 9\r\n"),
    "compressed": (
        415,
        AUTHORIZED + JSON + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n",
    ),
    "too large": (413, AUTHORIZED + JSON + b"Content-Length: 9999999\r\n"),
    "too large, in chunks of another type": (415, AUTHORIZED + b"Transfer-Encoding: chunked\r\n"),
}


@pytest.fixture
def connection(server: Server) -> Iterator[RawConnection]:
    with RawConnection(server.port) as opened:
        yield opened


@pytest.mark.parametrize(("status", "fields"), REFUSED.values(), ids=REFUSED)
def test_what_is_certain_is_answered_before_the_body_is_sent(
    connection: RawConnection, status: int, fields: bytes
) -> None:
    connection.send(HEAD + EXPECT + fields + b"\r\n")
    answer = connection.answer()
    assert (answer.status, list(json.loads(answer.body))) == (status, ["error"])
    assert answer.headers["Connection"] == "close"
    assert connection.is_closed()


def test_the_body_is_asked_for_when_it_is_needed(connection: RawConnection) -> None:
    for number in (1, 2):
        body = json.dumps(order_body(number)).encode()
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        connection.send(HEAD + EXPECT + AUTHORIZED + JSON + length)
        assert connection.interim() == 100
        connection.send(body)
        answer = connection.answer()
        assert (answer.status, answer.headers["Connection"]) == (201, "keep-alive")


def test_a_body_that_comes_unasked_is_read(connection: RawConnection) -> None:
    connection.send(post(order_body(3), fields=EXPECT))
    assert connection.interim() == 100
    assert connection.answer().status == 201


def test_http_1_0_is_not_asked(connection: RawConnection) -> None:
    connection.send(post(order_body(4), version="1.0", fields=EXPECT))
    assert connection.answer().status == 201


def test_without_the_field_no_body_is_asked_for(connection: RawConnection) -> None:
    connection.send(HEAD + AUTHORIZED + JSON + b"Content-Length: 2\r\n\r\n")
    assert select.select([connection.socket], [], [], QUIET)[0] == []
    connection.send(b"{}")
    assert connection.answer().status == 400


def key(*values: str) -> bytes:
    return "".join(f"Idempotency-Key: {value}\r\n" for value in values).encode()


def send(server: Server, data: bytes) -> Answer:
    with RawConnection(server.port) as connection:
        connection.send(data)
        return connection.answer()


@pytest.mark.parametrize("values", [("a", "b"), ("a", "a"), ("a", "")])
def test_two_keys_are_refused(server: Server, values: tuple[str, str]) -> None:
    answer = send(server, post(order_body(5), fields=key(*values)))
    assert answer.status == 400
    assert "Idempotency-Key" in json.loads(answer.body)["error"]
    assert send(server, get("/orders/5")).status == 404


def test_one_key_may_have_a_comma(server: Server) -> None:
    for replayed in (None, "true"):
        answer = send(server, post(order_body(6), fields=key("a,b")))
        assert (answer.status, answer.headers["Idempotent-Replayed"]) == (201, replayed)
    assert send(server, post(order_body(6), fields=key("a", "b"))).status == 400
