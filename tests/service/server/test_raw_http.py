"""Requests that are no HTTP, or odd HTTP, sent to the real server: JSON, and never a 5xx."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.support.databases import migrate
from tests.support.service_process import AUTHORIZATION, Server

HOST = b"Host: localhost\r\n"
AUTH = b"Authorization: " + AUTHORIZATION["authorization"].encode() + b"\r\n"
POST = b"POST /orders HTTP/1.1\r\n" + HOST + AUTH + b"Content-Type: application/json\r\n"
ORDER = b'{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}'
BAD_REQUESTS = {
    "no HTTP": b"hello\r\n\r\n",
    "no version": b"GET /ping\r\n\r\n",
    "unknown version": b"GET /ping HTTP/9.9\r\n" + HOST + b"\r\n",
    "lower-case method": b"g\x00t /ping HTTP/1.1\r\n" + HOST + b"\r\n",
    "no colon in a header": b"GET /ping HTTP/1.1\r\n" + HOST + b"broken\r\n\r\n",
    "space before the colon": b"GET /ping HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
    "huge header": b"GET /ping HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 20_000 + b"\r\n\r\n",
    "huge request line": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "many headers": b"GET /ping HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 500 + b"\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length that is no number": POST + b"Content-Length: ten\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: br\r\n\r\n",
    "bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "NUL in the path": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.fixture(scope="module", params=["auto", "python"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The service as it is served, on SQLite, with either of gunicorn's parsers."""
    directory: Path = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{directory}/orders.db"
    migrate(url)
    arguments = f"--http-parser={request.param}"
    with Server(directory, url, PROCESSOR_THREADS=0, GUNICORN_CMD_ARGS=arguments) as started:
        yield started.start()


def send(server: Server, data: bytes) -> tuple[HTTPResponse, bytes]:
    """Send the bytes as they are, and return the answer and its body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer, answer.read()


def assert_json_error(answer: HTTPResponse, body: bytes) -> None:
    assert answer.headers.get_content_type() == "application/json"
    assert list(json.loads(body)) == ["error"]
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("data", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_bad_requests(server: Server, data: bytes) -> None:
    answer, body = send(server, data)
    assert 400 <= answer.status < 500, (answer.status, body)
    assert_json_error(answer, body)


def test_a_body_in_chunks(server: Server) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)
    answer, body = send(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert (answer.status, json.loads(body)["order_id"]) == (201, 7)


def test_chunks_beyond_the_limit(server: Server) -> None:
    # What is within the limit alone would be an order.
    order = b"%x\r\n%s\r\n" % (len(ORDER), ORDER)
    blanks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    chunks = order + blanks * 17 + b"0\r\n\r\n"
    answer, body = send(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.status == 413
    assert_json_error(answer, body)


def test_a_length_beyond_the_limit_is_refused_unread(server: Server) -> None:
    answer, body = send(server, POST + b"Content-Length: 1048577\r\n\r\n")
    assert answer.status == 413
    assert_json_error(answer, body)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 1000\r\n\r\n" + ORDER,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (len(ORDER), ORDER),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(ORDER), ORDER),
        b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + ORDER,
    ],
    ids=["length", "chunk", "last chunk", "in a chunk"],
)
def test_a_body_that_ends_early_is_not_an_order(server: Server, rest: bytes) -> None:
    answer, body = send(server, POST + rest)
    assert answer.status == 400
    assert_json_error(answer, body)


@pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_field_behind_a_bare_line_feed_holds_up_nobody(server: Server, field: bytes) -> None:
    """gunicorn's fast parser sees a body there, and waits for it."""
    data = b"GET /ping HTTP/1.1\r\n" + HOST + b"X: y\n" + field + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        started = time.monotonic()
        # It may be answered after the other one, but is under way before.
        assert server.client.get("/ping").status == 200
        assert server.client.get("/ping").status == 200
        assert time.monotonic() - started < 2
        assert connection.recv(4096)[:13] in (b"HTTP/1.1 200 ", b"HTTP/1.1 400 ")


def test_a_double_slash_needs_credentials(server: Server) -> None:
    answer, body = send(server, b"GET //orders HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.status == 401
    assert_json_error(answer, body)


def test_many_requests_at_once(server: Server) -> None:
    ping = b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n"
    post = POST + b"Content-Length: 2\r\n\r\n{}"
    requests = [ping, post] * 1000
    answers: Counter[int] = Counter()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        sender = threading.Thread(target=connection.sendall, args=(b"".join(requests),))
        sender.start()
        with connection.makefile("rb") as received:
            for _ in requests:
                answers[int(received.readline().split()[1])] += 1
                length = 0
                while (line := received.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                received.read(length)
        sender.join(10)
    assert answers == {200: 1000, 400: 1000}
    assert "Traceback" not in server.log


def test_http_1_0(server: Server) -> None:
    answer, body = send(server, b"GET /ping HTTP/1.0\r\n\r\n")
    assert (answer.status, json.loads(body)) == (200, {"message": "success"})
