"""Requests that are no HTTP, or odd HTTP, sent to the real server: JSON, and never a 5xx."""

from __future__ import annotations

import json
import select
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.raw_http import AUTHORIZED, Answer, RawConnection, get
from tests.support.service_process import Server

HOST = b"Host: localhost\r\n"
POST = b"POST /orders HTTP/1.1\r\n" + HOST + AUTHORIZED + b"Content-Type: application/json\r\n"
FORM = (
    b"POST /console/processing/pause HTTP/1.1\r\n"
    + HOST
    + AUTHORIZED
    + b"Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
)
ORDER = b'{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}'
SENT_AT_ONCE = 65536
BAD_REQUESTS = {
    "no HTTP": b"hello\r\n\r\n",
    "no version": b"GET /ping\r\n\r\n",
    "unknown version": b"GET /ping HTTP/9.9\r\n" + HOST + b"\r\n",
    "lower-case method": b"get /ping HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the method": b"G\x00T /ping HTTP/1.1\r\n" + HOST + b"\r\n",
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
    "folded header": b"GET /ping HTTP/1.1\r\n" + HOST + b"X: y\r\n Content-Length: 5\r\n\r\n",
    "length behind a line feed": b"GET /ping HTTP/1.1\r\n"
    + HOST
    + b"X: y\nContent-Length: 5\r\n\r\n",
    "no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /ping HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "NUL in the path": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
}


def send(server: Server, data: bytes) -> Answer:
    """Send the bytes as they are and then no more; return the answer."""
    with RawConnection(server.port) as connection:
        connection.send(data)
        connection.socket.shutdown(socket.SHUT_WR)
        return connection.answer()


def assert_json_error(answer: Answer) -> None:
    assert answer.headers.get_content_type() == "application/json"
    assert list(json.loads(answer.body)) == ["error"]
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("data", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_bad_requests(server: Server, data: bytes) -> None:
    answer = send(server, data)
    assert 400 <= answer.status < 500, answer
    assert_json_error(answer)


def test_a_body_in_chunks(server: Server) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)
    answer = send(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert (answer.status, json.loads(answer.body)["order_id"]) == (201, 7)


def test_chunks_beyond_the_limit(server: Server) -> None:
    # What is within the limit alone would be an order.
    order = b"%x\r\n%s\r\n" % (len(ORDER), ORDER)
    blanks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    chunks = order + blanks * 17 + b"0\r\n\r\n"
    answer = send(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.status == 413
    assert_json_error(answer)


def test_a_length_beyond_the_limit_is_refused_unread(server: Server) -> None:
    answer = send(server, POST + b"Content-Length: 1048577\r\n\r\n")
    assert answer.status == 413
    assert_json_error(answer)


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
    answer = send(server, POST + rest)
    assert answer.status == 400
    assert_json_error(answer)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"Content-Length: 1000\r\n\r\nreason=cut", 400),
        (b"Transfer-Encoding: chunked\r\n\r\na\r\nreason=cut\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
        (b"Content-Length: 65537\r\n\r\n", 413),
        (
            b"Transfer-Encoding: chunked\r\n\r\na\r\nreason=big\r\n"
            b"10000\r\n" + b"&" * 0x10000 + b"\r\n0\r\n\r\n",
            413,
        ),
    ],
    ids=["length", "last chunk", "bad chunk", "too long", "too many chunks"],
)
def test_a_part_of_a_form_does_nothing(server: Server, rest: bytes, status: int) -> None:
    answer = send(server, FORM + rest)
    assert (answer.status, answer.headers.get_content_type()) == (status, "text/html")
    assert json.loads(server.client.get("/processing").data)["paused"] is False


@pytest.mark.parametrize("path", [b"//orders", b"//readyz", b"///ping", b"http://h//healthz"])
def test_a_path_has_one_spelling(server: Server, path: bytes) -> None:
    answer = send(server, b"GET %s HTTP/1.1\r\n%s\r\n" % (path, HOST))
    assert answer.status == 404
    assert_json_error(answer)


def test_many_requests_at_once(server: Server) -> None:
    requests = [get("/ping"), POST + b"Content-Length: 2\r\n\r\n{}"] * 500
    with RawConnection(server.port) as connection, ThreadPoolExecutor(1) as sender:
        sending = sender.submit(connection.send, b"".join(requests))
        answers = [connection.answer().status for _ in requests]
        sending.result()
    assert answers == [200, 400] * 500
    assert "Traceback" not in server.log


def test_no_more_is_read_than_is_served(server: Server) -> None:
    """A client that sends without end does not fill the memory."""
    answers, taken = 200, 0
    requests = get("/ping") * 1000
    with RawConnection(server.port) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AT_ONCE)
        for _ in range(answers):
            if select.select([], [connection.socket], [], 0)[1]:
                taken += connection.socket.send(requests[taken % len(requests) :])
            assert connection.answer().status == 200
    assert taken < answers * SENT_AT_ONCE / 2


def test_http_1_0(server: Server) -> None:
    answer = send(server, b"GET /ping HTTP/1.0\r\n\r\n")
    assert (answer.status, json.loads(answer.body)) == (200, {"message": "success"})


def test_the_line_of_each_request_has_the_id_of_its_answer(server: Server) -> None:
    mine = get("/ping", fields=b"X-Request-ID: mine\r\n")
    post_of_parts = POST + b"Content-Length: 2\r\n\r\n"
    answers = [
        send(server, data) for data in (get("/orders/8"), b"GET / HTTP/1.0\r\n\r\n", b"?\r\n\r\n")
    ]
    with RawConnection(server.port) as connection:
        connection.send(mine + get("/nowhere") + post_of_parts, b"{}")
        answers += [connection.answer() for _ in "123"]
    assert [answer.status for answer in answers] == [404, 401, 400, 200, 404, 400]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert ids[3] == "mine"
    for answer, number in zip(answers, ids, strict=True):
        [line] = [one for one in server.log.splitlines() if f"request_id={number} " in one]
        assert f"status={answer.status}" in line
