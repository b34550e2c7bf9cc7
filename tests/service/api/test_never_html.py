"""JSON always: no path, method, status or failure ever answers with HTML."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of, json_of
from tests.support.databases import order_body
from tests.support.inspection import Store

PATHS = [
    "/",
    "/nowhere",
    "/orders/",
    "/orders/1/",
    "/orders/1/items",
    "/ping/",
    "/metrics/",
    "/index.html",
    "/favicon.ico",
    "/static/app.js",
    "/%00",
    "/%0d%0aX: y",
    "/%ff%fe",
    "/%e0%80%80",
    "/%",
    "/%zz",
    "/orders/%2e%2e/ping",
    "/..%2f..%2fetc/passwd",
    "/<script>alert(1)</script>",
    "/" + "x" * 8000,
    "/é/ü",
]
METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW"]
TYPES = [
    "text/plain",
    "text/html",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/jsonp",
    "application/json-patch+json",
    "application",
    "json",
    "*/*",
    "",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PATHS)
def test_unknown_paths(client: FlaskClient, path: str, method: str) -> None:
    error = error_of(client.open(path, method=method), 404)
    assert isinstance(error, str)
    assert "<" not in error


@pytest.mark.parametrize("path", ["//nowhere", "//orders//1", "/orders//", "/orders//1", "///"])
def test_double_slashes(client: FlaskClient, path: str) -> None:
    error_of(client.get("/", environ_overrides={"PATH_INFO": path}), 404)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/orders", "/orders/1", "/metrics", "/ping", "/readyz"])
def test_wrong_methods(client: FlaskClient, path: str, method: str) -> None:
    answer = client.open(path, method=method)
    error_of(answer, 405)
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/orders", "/ping", "/metrics", "/nowhere"])
def test_head_answers_like_get_without_a_body(client: FlaskClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.data == b""
    assert head.status_code == get.status_code
    assert head.content_type == get.content_type == "application/json"


@pytest.mark.parametrize("content_type", TYPES)
def test_another_content_type(client: FlaskClient, store: Store, content_type: str) -> None:
    answer = client.post("/orders", data=b'{"order_id": 1}', content_type=content_type)
    assert isinstance(error_of(answer, 415), str)
    assert store.statuses() == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json;",
    ],
)
def test_json_content_types(client: FlaskClient, content_type: str) -> None:
    body = b'{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}'
    assert client.post("/orders", data=body, content_type=content_type).status_code == 201


def test_a_body_of_one_mebibyte_is_read(client: FlaskClient) -> None:
    body = b'{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}'
    answer = client.post("/orders", data=body.ljust(1024 * 1024), content_type="application/json")
    assert answer.status_code == 201


@pytest.mark.parametrize("byte", [b" ", b"x", b"["])
def test_a_larger_body_is_refused(client: FlaskClient, store: Store, byte: bytes) -> None:
    body = byte * (1024 * 1024 + 1)
    answer = client.post("/orders", data=body, content_type="application/json")
    assert isinstance(error_of(answer, 413), str)
    assert store.statuses() == {}


def test_a_websocket_handshake(client: FlaskClient) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = client.get("/orders", headers=headers)
    assert answer.status_code < 500
    json_of(answer)


@pytest.mark.parametrize("host", ["", "a b", "[::1", "x" * 300, "<script>", "host:port", "\xff"])
def test_odd_hosts(client: FlaskClient, host: str) -> None:
    answer = client.get("/orders", environ_overrides={"HTTP_HOST": host})
    assert answer.status_code < 500
    json_of(answer)


def test_accept_html_is_answered_in_json(client: FlaskClient) -> None:
    accept = {"Accept": "text/html"}
    for path in ("/ping", "/orders", "/nowhere", "/orders/1", "/metrics"):
        json_of(client.get(path, headers=accept))
    json_of(client.post("/orders", json=order_body(1), headers=accept))
    json_of(client.post("/orders", data="{", headers=accept))
