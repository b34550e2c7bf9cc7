"""Everything but a few paths needs HTTP Basic authentication."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import create_app
from tests.support.answers import UNAUTHORIZED, json_of
from tests.support.databases import ONLY_SQLITE, order_body, settings_for
from tests.support.inspection import Store

PUBLIC = {"/ping", "/healthz", "/readyz", "/openapi.json", "/docs"}
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND")
UNKNOWN_PATHS = (
    "/",
    "/nowhere",
    "/ping/",
    "//ping",
    "/PING",
    "/ping%2f",
    "/static/x",
    "/healthz/..",
    "/ping;x",
)


def basic(username: str | bytes, password: str | bytes) -> str:
    """Return the header's value for these credentials, which need not be text."""
    parts = (part.encode() if isinstance(part, str) else part for part in (username, password))
    return "Basic " + base64.b64encode(b":".join(parts)).decode()


@pytest.fixture
def guarded(sqlite_url: str) -> Flask:
    """The application on SQLite alone: what is refused reaches no other SQL."""
    return create_app(settings_for(sqlite_url))


@pytest.fixture
def stranger(guarded: Flask) -> FlaskClient:
    """A client without credentials."""
    return guarded.test_client()


def assert_refused(client: FlaskClient, path: str, method: str = "GET", **options: Any) -> None:
    answer = client.open(path, method=method, **options)
    assert answer.status_code == 401, (method, path)
    assert answer.headers["WWW-Authenticate"].split()[0] == "Basic"
    if path.startswith("/console"):
        assert answer.mimetype == "text/html"
        return
    assert answer.mimetype == "application/json"
    if method != "HEAD":
        assert json_of(answer) == UNAUTHORIZED


def test_every_route_but_the_public_ones_is_refused(guarded: Flask, stranger: FlaskClient) -> None:
    rules = [rule for rule in guarded.url_map.iter_rules() if rule.rule not in PUBLIC]
    assert {"/orders", "/metrics"} <= {rule.rule for rule in rules}
    for rule in rules:
        for method in rule.methods or ():
            assert_refused(stranger, rule.rule.replace("<order_id>", "1"), method)


def test_no_other_route_is_public(guarded: Flask, stranger: FlaskClient) -> None:
    paths = {rule.rule.replace("<order_id>", "1") for rule in guarded.url_map.iter_rules()}
    answered = {path for path in paths if stranger.get(path).status_code != 401}
    assert {"/ping", "/healthz", "/readyz"} <= answered <= PUBLIC


@pytest.mark.parametrize("method", METHODS)
def test_no_method_gets_past(stranger: FlaskClient, method: str) -> None:
    for path in ("/orders", "/nowhere"):
        assert_refused(stranger, path, method)


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_unknown_paths_are_refused_too(stranger: FlaskClient, path: str) -> None:
    assert_refused(stranger, path)


@pytest.mark.parametrize("path", ["/./orders", "\\orders", "orders"])
def test_no_spelling_of_a_path_gets_past(stranger: FlaskClient, path: str) -> None:
    assert_refused(stranger, "/", environ_overrides={"PATH_INFO": path})


@ONLY_SQLITE
def test_a_refused_order_is_not_stored(app: Flask, store: Store) -> None:
    assert_refused(app.test_client(), "/orders", "POST", json=order_body(123))
    assert store.statuses() == {}


@pytest.mark.parametrize(
    "value",
    [
        basic("admin", "wrong"),
        basic("wrong", "securepassword"),
        basic("securepassword", "admin"),
        basic("admin", ""),
        basic("", ""),
        basic("admin", "securepassword "),
        basic("Admin", "securepassword"),
        basic("admin", "sécurepassword"),
        basic("admin\x00", "securepassword"),
        basic(b"\xff\xfe", b"\x80\x81"),
        basic("admin", "x" * 5000),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic \xff\xfe",
        "Basic username=admin, password=securepassword",
        "Bearer YWRtaW46c2VjdXJlcGFzc3dvcmQ=",
        "YWRtaW46c2VjdXJlcGFzc3dvcmQ=",
        "",
        ",,,",
    ],
)
def test_other_credentials_are_refused(stranger: FlaskClient, value: str) -> None:
    environment = {"HTTP_AUTHORIZATION": value}
    assert_refused(stranger, "/orders", environ_overrides=environment)


def test_the_right_credentials_are_taken(stranger: FlaskClient) -> None:
    header = {"Authorization": basic("admin", "securepassword")}
    assert stranger.get("/orders", headers=header).status_code == 200


def test_the_schemes_case_does_not_matter(stranger: FlaskClient) -> None:
    value = basic("admin", "securepassword").replace("Basic", "bAsIc")
    assert stranger.get("/orders", headers={"Authorization": value}).status_code == 200


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_wrong_credentials_do_not_close_a_public_path(stranger: FlaskClient, path: str) -> None:
    header = {"Authorization": basic("admin", "wrong")}
    assert stranger.get(path, headers=header).status_code == stranger.get(path).status_code != 401
