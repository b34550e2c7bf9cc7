"""nginx and the containers behind it: one that is away, and some that take a request and die."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.databases import order_body
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.stack import ORDER_IDS, Stack, StackClient

# Reads each request to its end, says which it was, and closes without an answer.
DYING_SERVER = """
import email.parser, socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        request = self.rfile.readline().split()
        head = b"".join(iter(self.rfile.readline, b"\\r\\n")).decode()
        headers = email.parser.Parser().parsestr(head)
        self.rfile.read(int(headers.get("Content-Length", 0)))
        print(request[0].decode(), headers["X-Request-ID"], flush=True)

socketserver.ThreadingTCPServer(("", 5000), Handler).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def _without_app(stack: Stack) -> Iterator[None]:
    stack.stop("app")
    yield
    stack.start("app")
    stack.wait_until_serving()


def test_a_stopped_service_is_503_in_json(client: StackClient) -> None:
    for answer in (client.get("/ping"), client.post(order_body(next(ORDER_IDS)))):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert list(answer.json()) == ["error"]


@pytest.fixture
def dying(stack: Stack) -> Iterator[list[str]]:
    """The ids of two containers that nginx takes for the service's."""
    run = ("run", "--detach", "--no-deps", "--use-aliases", "app", "python", "-c", DYING_SERVER)
    containers = [stack.compose(*run).strip() for _ in range(2)]
    yield containers
    docker("rm", "--force", *containers)


def test_a_post_that_was_sent_is_not_sent_again(client: StackClient, dying: list[str]) -> None:
    def received(request: str) -> list[str]:
        return [one for one in dying if request in docker("logs", one).splitlines()]

    def sent_get() -> bool:
        # It may be sent again: so this shows that nginx knows both.
        request_id = secrets.token_hex(8)
        assert client.get("/ping", **{"X-Request-ID": request_id}).status == 503
        return len(received(f"GET {request_id}")) == 2

    def sent_post() -> list[str]:
        # Both are left out for a second after each failure.
        request_id = secrets.token_hex(8)
        body = order_body(next(ORDER_IDS))
        assert client.post(body, **{"X-Request-ID": request_id}).status == 503
        return received(f"POST {request_id}")

    wait_until(sent_get, 30, "a GET that both have got", every=0.5)
    assert len(wait_until(sent_post, 30, "a POST that one has got", every=0.5)) == 1
