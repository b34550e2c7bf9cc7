"""Who may do what: each route for each scope, and orders of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.clients import Caller
from service.storage.clients import Scope
from service.web.auth import PUBLIC_PATHS, scopes_of
from tests.support.answers import error_of, json_of
from tests.support.clients import add_client, set_poster
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

WRITE, READ, METRICS, OPERATE = Scope


@dataclass(frozen=True)
class Route:
    """A request, the scopes of which one is enough, and those that the refusal names."""

    method: str
    path: str
    enough: frozenset[Scope]
    named: str


def route(request: str, *named: Scope, also: tuple[Scope, ...] = ()) -> Route:
    method, path = request.split()
    return Route(method, path, frozenset({*named, *also}), " or ".join(named))


ROUTES = (
    route("POST /orders", WRITE),
    route("GET /orders", READ, also=(OPERATE,)),
    route("GET /orders/<order_id>", READ, also=(OPERATE,)),
    route("GET /orders/<order_id>/attempts", READ, also=(OPERATE,)),
    route("POST /orders/<order_id>/cancel", WRITE, OPERATE),
    route("GET /metrics", METRICS, also=(OPERATE,)),
    route("GET /processing", READ, also=(OPERATE,)),
    route("POST /processing/pause", OPERATE),
    route("POST /processing/resume", OPERATE),
    route("POST /operations", OPERATE),
    route("GET /operations", OPERATE),
    route("GET /operations/<operation_id>", OPERATE),
    route("POST /operations/<operation_id>/stop", OPERATE),
)
# The console's are in its own tests.
CONSOLE = "/console"


def test_every_route_names_its_scopes_or_is_public(app: Flask) -> None:
    silent = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule not in PUBLIC_PATHS and not scopes_of(app.view_functions[rule.endpoint])
    }
    assert silent == set()


def test_every_route_of_the_api_is_in_the_table_below(app: Flask) -> None:
    found = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if rule.rule not in PUBLIC_PATHS and not rule.rule.startswith(CONSOLE)
    }
    assert found == {(one.method, one.path) for one in ROUTES}


@ONLY_SQLITE
@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("tried", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_a_scope_opens_its_routes_and_no_others(
    app: Flask, store: Store, tried: Route, scope: Scope
) -> None:
    header = add_client(store, "shop", scope)
    path = tried.path.replace("<order_id>", "7").replace("<operation_id>", "7")
    answer = app.test_client().open(path, method=tried.method, headers=header, json={})
    if scope in tried.enough:
        # Nothing of what is asked for is there, or the body is not complete.
        assert answer.status_code in (200, 400, 404)
    else:
        assert error_of(answer, 403).endswith(f" needs the scope {tried.named}.")


@ONLY_SQLITE
def test_without_a_scope_nothing_but_the_public_paths_is_open(app: Flask, store: Store) -> None:
    header = add_client(store, "nobody")
    client = app.test_client()
    for tried in ROUTES:
        path = tried.path.replace("<order_id>", "7").replace("<operation_id>", "7")
        error_of(client.open(path, method=tried.method, headers=header, json={}), 403)
    assert client.get("/ping", headers=header).status_code == 200
    error_of(client.get("/nowhere", headers=header), 404)


@ONLY_SQLITE
def test_head_needs_what_get_needs(app: Flask, store: Store) -> None:
    header = add_client(store, "shop", WRITE)
    assert app.test_client().head("/orders", headers=header).status_code == 403


def test_the_environments_user_may_do_all(client: FlaskClient, store: Store) -> None:
    assert client.post("/orders", json=order_body(1)).status_code == 201
    set_poster(store, 1, "shop")
    assert json_of(client.post("/orders/1/cancel"))["status"] == "Cancelled"
    for path in ("/orders", "/metrics", "/processing", "/operations"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "poster", "status"),
    [
        ({WRITE}, "shop", 200),
        ({WRITE}, "another", 403),
        ({WRITE}, "Shop", 403),
        ({WRITE}, None, 403),
        ({OPERATE}, "another", 200),
        ({WRITE, OPERATE}, None, 200),
        ({READ}, "shop", 403),
    ],
    # A set's text is another one in each process.
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_client_cancels_its_own_orders_and_an_operator_all(
    app: Flask, store: Store, scopes: set[Scope], poster: str | None, status: int
) -> None:
    header = add_client(store, "shop", *scopes)
    store.add_orders([1])
    set_poster(store, 1, poster)
    answer = app.test_client().post("/orders/1/cancel", headers=header)
    assert answer.status_code == status
    assert store.statuses() == {1: "Cancelled" if status == 200 else "Pending"}
    if status == 403:
        assert "operate" in error_of(answer, 403)


@ONLY_SQLITE
def test_what_is_refused_is_not_done(app: Flask, store: Store) -> None:
    header = add_client(store, "viewer", READ, METRICS)
    viewer = app.test_client()
    for path, body in (
        ("/orders", order_body(1)),
        ("/processing/pause", {"reason": "a test"}),
        ("/operations", {"action": "cancel", "filter": {}}),
    ):
        error_of(viewer.post(path, json=body, headers=header), 403)
    assert store.statuses() == {}
    assert json_of(viewer.get("/processing", headers=header))["paused"] is False


def test_operate_implies_to_read_and_not_to_post() -> None:
    operator = Caller("ops", frozenset({OPERATE}))
    assert [scope for scope in Scope if operator.may(scope)] == [READ, METRICS, OPERATE]
    assert not any(Caller("nobody", frozenset()).may(scope) for scope in Scope)
