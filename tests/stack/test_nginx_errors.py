"""nginx's own errors are JSON, too, whatever a client sends."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from tests.support.ports import HOST
from tests.support.stack import Stack, StackClient

PAGE = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"


def raw(stack: Stack, request: bytes, *, port: int | None = None) -> tuple[int, dict[str, str]]:
    """Send the bytes and return the status and the headers; fail unless the answer is JSON."""
    if port is None:
        context = ssl.create_default_context(cafile=str(stack.ca))
        connection: socket.socket = context.wrap_socket(
            socket.create_connection((HOST, stack.https_port), 10), server_hostname="localhost"
        )
    else:
        connection = socket.create_connection((HOST, port), 10)
    with connection:
        connection.settimeout(10)
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
            received = connection.recv(65536)
            assert received, f"closed after {answer!r}"
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers["content-type"] == "application/json", answer
    assert headers["x-request-id"]
    assert list(json.loads(body)) == ["error"]
    return int(first.split()[1]), headers


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /%%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /" + 9000 * b"a" + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (PAGE + b"X-Long: " + 9000 * b"a" + b"\r\n\r\n", 431),
        (b"TRACE /ping HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n", 501),
        (b"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /ping HTTP/9.9\r\nHost: a\r\n\r\n", 505),
    ],
)
def test_malformed_requests(stack: Stack, request_bytes: bytes, status: int) -> None:
    assert raw(stack, request_bytes)[0] == status


def test_plain_http_to_the_tls_port(stack: Stack) -> None:
    assert raw(stack, PAGE + b"\r\n", port=stack.https_port)[0] == 400


def test_bodies_may_have_one_mebibyte(stack: Stack, client: StackClient) -> None:
    large = client.post({"padding": "x" * (2 * 1024 * 1024)})
    assert large.status == 413
    assert "1 MiB" in large.json()["error"]
    # At the limit the service itself has its say.
    padding = "x" * (1024 * 1024 - len('{"padding":""}'))
    assert client.post({"padding": padding}).status == 400
    assert (
        raw(stack, b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")[0] == 413
    )


def test_unknown_paths(client: StackClient) -> None:
    answer = client.get("/no/such/path")
    assert (answer.status, list(answer.json())) == (404, ["error"])
