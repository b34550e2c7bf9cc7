"""What a request costs: the statements that reach the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from service.models import db
from tests.support import states
from tests.support.databases import order_body
from tests.support.inspection import Store
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until

# Statements and pings alike, of the application's user alone.
SENT = (
    "SELECT event_name, count_star FROM"
    " performance_schema.events_statements_summary_by_user_by_event_name"
    " WHERE user = 'orders' AND count_star > 0"
)


@contextmanager
def watched(app: Flask) -> Iterator[list[str]]:
    """Give a list that fills with the statements that the application sends."""
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    "path", ["/orders", "/orders/1", "/orders/1?view=full", "/metrics", "/readyz"]
)
def test_reading_is_one_statement(app: Flask, client: FlaskClient, store: Store, path: str) -> None:
    states.fill(store, pending=2, processing=2, completed=2, failed=2)
    with watched(app) as statements:
        assert client.get(path).status_code == 200
    assert len(statements) == 1
    assert statements[0].lstrip().upper().startswith("SELECT")


@pytest.mark.parametrize(
    ("path", "status"), [("/ping", 200), ("/healthz", 200), ("/orders/abc", 404), ("/x", 404)]
)
def test_no_statement(app: Flask, client: FlaskClient, path: str, status: int) -> None:
    with watched(app) as statements:
        assert client.get(path).status_code == status
        assert client.get(path, headers={"Authorization": ""}).status_code in (200, 401)
        assert client.post("/orders", json={}).status_code == 400
    assert statements == []


def test_accepting_is_one_statement(app: Flask, client: FlaskClient) -> None:
    with watched(app) as statements:
        assert client.post("/orders", json=order_body(1)).status_code == 201
    assert [statement.split()[:3] for statement in statements] == [["INSERT", "INTO", "orders"]]


def test_accepting_with_a_key_is_one_transaction(app: Flask, client: FlaskClient) -> None:
    with watched(app) as statements:
        headers = {"Idempotency-Key": "key"}
        client.post("/orders", json=order_body(1), headers=headers)
    first, *middle, last = [statement.split()[0] for statement in statements]
    assert first in ("BEGIN", "START")
    assert middle == ["INSERT", "INSERT"]
    assert last == "COMMIT"


def test_a_lost_order_takes_its_key_along(client: FlaskClient, store: Store) -> None:
    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO orders"):
            raise RuntimeError("injected")

    headers = {"Idempotency-Key": "key"}
    event.listen(db.engine, "before_cursor_execute", fail)
    try:
        assert client.post("/orders", json=order_body(1), headers=headers).status_code == 500
    finally:
        event.remove(db.engine, "before_cursor_execute", fail)
    assert store.statuses() == {}
    again = client.post("/orders", json=order_body(1), headers=headers)
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers


@contextmanager
def counted(server: MySQLServer) -> Iterator[dict[str, int]]:
    """Give a table that holds, at the end, how often the server was sent what."""
    sent: dict[str, int] = {}
    before = dict(server.query(SENT))
    yield sent
    after = dict(server.query(SENT))
    sent |= {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)}


@pytest.mark.mysql
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_the_server_sees_one_statement(client: FlaskClient, mysql_server: MySQLServer) -> None:
    client.get("/readyz")
    with counted(mysql_server) as sent:
        assert client.post("/orders", json=order_body(1)).status_code == 201
    assert sent == {"statement/sql/insert": 1}
    with counted(mysql_server) as sent:
        assert client.get("/orders/1").status_code == 200
    assert sent == {"statement/sql/select": 1}
    with counted(mysql_server) as sent:
        client.post("/orders", json=order_body(2), headers={"Idempotency-Key": "key"})
    assert sent == {
        "statement/sql/begin": 1,
        "statement/sql/insert": 2,
        "statement/sql/commit": 1,
    }


@pytest.mark.mysql
@pytest.mark.parametrize("url", ["mysql"], indirect=True)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "key"}], ids=["plain", "key"])
def test_connections_that_the_server_closed_are_noticed(
    client: FlaskClient, store: Store, mysql_server: MySQLServer, headers: dict[str, str]
) -> None:
    listing = "SELECT id FROM performance_schema.processlist WHERE user = 'orders'"
    for order_id in (1, 2, 3):
        assert client.get("/readyz").status_code == 200
        store.database.engine.dispose()
        killed = {row[0] for row in mysql_server.query(listing)}
        assert killed
        for connection in killed:
            mysql_server.query(f"KILL {connection}")
        wait_until(lambda: not mysql_server.query(listing), 10, "the end of the connections")
        answer = client.post("/orders", json=order_body(order_id), headers=headers)
        # The key stands for the first order; the others only have to reach the database.
        assert answer.status_code == (422 if headers and order_id > 1 else 201)
