"""JSON always: no path, method or header makes the service answer with HTML."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body

pytestmark = ONLY_SQLITE

PATHS = [
    "/",
    "/nowhere",
    "/orders/",
    "/orders/1/",
    "/orders/1/items",
    "/static/app.js",
    "/%00",
    "/%0d%0aX: y",
    "/%ff%fe",
    "/..%2f..%2fetc/passwd",
    "/<script>alert(1)</script>",
    "/" + "x" * 8000,
    "/é/ü",
]


@pytest.mark.parametrize("path", PATHS)
def test_unknown_paths(client: FlaskClient, path: str) -> None:
    error = error_of(client.get(path), 404)
    assert isinstance(error, str)
    assert "<" not in error


@pytest.mark.parametrize("path", ["//nowhere", "//orders//1", "/orders//", "///"])
def test_double_slashes_are_not_redirected(client: FlaskClient, path: str) -> None:
    error_of(client.get("/", environ_overrides={"PATH_INFO": path}), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_wrong_methods(client: FlaskClient, method: str) -> None:
    for path in ("/orders", "/orders/1", "/metrics", "/ping", "/readyz"):
        answer = client.open(path, method=method)
        error_of(answer, 405)
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/orders", "/nowhere"])
def test_head_answers_like_get_without_a_body(client: FlaskClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.data == b""
    assert head.status_code == get.status_code
    assert head.content_type == get.content_type == "application/json"


def test_a_websocket_handshake(client: FlaskClient) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = client.get("/orders", headers=headers)
    assert answer.status_code < 500
    json_of(answer)


@pytest.mark.parametrize("host", ["", "[::1", "x" * 300, "<script>", "\xff"])
def test_odd_hosts(client: FlaskClient, host: str) -> None:
    answer = client.get("/orders", environ_overrides={"HTTP_HOST": host})
    assert answer.status_code in (200, 400)
    json_of(answer)


def test_accept_html_is_answered_in_json(client: FlaskClient) -> None:
    accept = {"Accept": "text/html"}
    for path in ("/ping", "/orders", "/nowhere", "/orders/1", "/metrics"):
        json_of(client.get(path, headers=accept))
    json_of(client.post("/orders", json=order_body(1), headers=accept))
    json_of(client.post("/orders", data="{", headers=accept))
