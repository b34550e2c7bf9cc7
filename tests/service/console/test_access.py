"""Who may open the console, who may act in it, and from where."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.storage.clients import Scope
from service.storage.models import OrderStatus
from service.web.auth import scopes_of
from tests.support.clients import add_client
from tests.support.console import OWN_PAGE, text_of
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished

pytestmark = ONLY_SQLITE

ACTIONS = {
    "/orders/1/retry",
    "/orders/1/cancel",
    "/orders/selected",
    "/bulk",
    "/processing/pause",
    "/processing/resume",
    "/operations/1/stop",
    "/events/resend",
}


def test_every_action_is_in_the_list_above_and_needs_operate(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/console")]
    acting = [
        rule for rule in rules if "POST" in (rule.methods or ()) and "<path:" not in rule.rule
    ]
    assert len(acting) == len(ACTIONS) - 1  # retry and cancel are one
    for rule in acting:
        assert scopes_of(app.view_functions[rule.endpoint]) == (Scope.OPERATE,), rule
        assert rule.methods is not None
        assert "GET" not in rule.methods


@pytest.mark.parametrize("scope", Scope)
def test_scopes(app: Flask, store: Store, scope: Scope) -> None:
    header = add_client(store, "someone", scope)
    add_finished(store, [1], OrderStatus.FAILED, last_error="no")
    client = app.test_client()
    reads = scope in (Scope.ORDERS_READ, Scope.OPERATE)
    for path in ("/", "/orders", "/failed", "/orders/1", "/workers", "/operations", "/audit"):
        page = client.get(f"/console{path}", headers=header)
        said = text_of(page, 200 if reads else 403)
        assert ("needs the scope" in said) is not reads
        forms = page.text.count('method="post"')
        assert scope is Scope.OPERATE or forms == (1 if path == "/orders" and reads else 0)
    if scope is Scope.OPERATE:
        return
    for path in ACTIONS:
        answer = client.post(f"/console{path}", headers=header | OWN_PAGE)
        assert "needs the scope operate" in text_of(answer, 403)
    assert store.statuses() == {1: "Failed"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://orders.example"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://orders.example"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://orders.example"}, True),
        # A proxy passes the host on without its port.
        ({"Origin": "https://Orders.Example:8443"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://orders.example.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[orders.example"}, False),
        ({"Referer": "http://orders.example/console/"}, False),
        ({}, False),
    ],
)
def test_only_its_own_pages_may_act(
    client: FlaskClient, store: Store, headers: dict[str, str], allowed: bool
) -> None:
    add_finished(store, [1], OrderStatus.FAILED, last_error="no")
    for path in ACTIONS - {"/orders/1/cancel"}:
        answer = client.post(f"/console{path}", headers={"Host": "orders.example"} | headers)
        if allowed:
            assert answer.status_code != 403, path
        else:
            assert "Only pages of this console" in text_of(answer, 403), path
    assert (store.statuses()[1] == "Pending") is allowed


def test_what_is_allowed_to_pages_of_others_is_to_look(client: FlaskClient) -> None:
    text_of(client.get("/console/", headers={"Sec-Fetch-Site": "cross-site"}))


def test_no_other_site_shows_it_in_a_frame(client: FlaskClient) -> None:
    headers = client.get("/console/").headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
