"""What a request costs: the statements that reach the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from service.storage import engine
from service.storage.models import db
from tests.support import states
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.mysql_server import USER, MySQLServer
from tests.support.polling import wait_until
from tests.support.statements import statements

KEY = {"Idempotency-Key": "key"}
READING = ("/orders", "/orders/1", "/orders/1?view=full", "/metrics")
# Statements and pings alike.
SENT = (
    "SELECT event_name, count_star FROM"
    " performance_schema.events_statements_summary_by_user_by_event_name"
    " WHERE user = %s AND count_star > 0"
)


@ONLY_SQLITE
def test_reading_is_one_statement(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=2, processing=2, completed=2, failed=2)
    for path in READING:
        with statements(db.engine) as sent:
            assert client.get(path).status_code == 200
        assert [statement.verb for statement in sent] == ["SELECT"], path
    with statements(db.engine) as sent:
        assert client.get("/readyz").status_code == 200
    assert [statement.verb for statement in sent] == ["BEGIN", "SELECT", "COMMIT"]


@ONLY_SQLITE
def test_what_needs_no_database_sends_no_statement(client: FlaskClient) -> None:
    with statements(db.engine) as sent:
        for path, status in (("/ping", 200), ("/healthz", 200), ("/orders/abc", 404), ("/x", 404)):
            assert client.get(path).status_code == status
        assert client.get("/orders", headers={"Authorization": ""}).status_code == 401
        assert client.post("/orders", json={}).status_code == 400
    assert sent == []


@ONLY_SQLITE
def test_accepting_is_one_statement_and_with_a_key_one_transaction(client: FlaskClient) -> None:
    with statements(db.engine) as sent:
        assert client.post("/orders", json=order_body(1)).status_code == 201
    assert [statement.sql.split()[:3] for statement in sent] == [["INSERT", "INTO", "orders"]]
    with statements(db.engine) as sent:
        assert client.post("/orders", json=order_body(2), headers=KEY).status_code == 201
    assert [statement.verb for statement in sent] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


def test_a_lost_order_takes_its_key_along(client: FlaskClient, store: Store) -> None:
    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO orders"):
            raise RuntimeError("injected")

    event.listen(db.engine, "before_cursor_execute", fail)
    try:
        assert client.post("/orders", json=order_body(1), headers=KEY).status_code == 500
    finally:
        event.remove(db.engine, "before_cursor_execute", fail)
    assert store.statuses() == {}
    again = client.post("/orders", json=order_body(1), headers=KEY)
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers


@contextmanager
def counted(server: MySQLServer) -> Iterator[dict[str, int]]:
    """Give a table that holds, at the end, how often the server was sent what."""
    sent: dict[str, int] = {}
    before = dict(server.query(SENT, [USER]))
    yield sent
    after = dict(server.query(SENT, [USER]))
    sent |= {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)}


@ONLY_MYSQL
def test_the_server_sees_no_more_than_that(
    client: FlaskClient, mysql_server: MySQLServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy service's connections are not asked whether they are open.
    monkeypatch.setattr(engine, "FRESH_SECONDS", 3600)
    client.get("/readyz")
    with counted(mysql_server) as sent:
        assert client.post("/orders", json=order_body(1)).status_code == 201
    assert sent == {"statement/sql/insert": 1}
    with counted(mysql_server) as sent:
        for path in READING:
            assert client.get(path).status_code == 200
    assert sent == {"statement/sql/select": len(READING)}
    with counted(mysql_server) as sent:
        client.post("/orders", json=order_body(2), headers=KEY)
    assert sent == {
        "statement/sql/begin": 1,
        "statement/sql/insert": 2,
        "statement/sql/commit": 1,
    }


@ONLY_MYSQL
def test_connections_that_the_server_closed_are_noticed(
    client: FlaskClient,
    store: Store,
    mysql_store: Store,
    mysql_server: MySQLServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "FRESH_SECONDS", 0)
    listing = f"SELECT id FROM performance_schema.processlist WHERE user = '{USER}'"
    for order_id, headers in enumerate(({}, KEY), 1):
        assert client.get("/readyz").status_code == 200
        for other in (store, mysql_store):
            other.database.engine.dispose()
        killed = mysql_server.query(listing)
        assert killed
        for (connection,) in killed:
            mysql_server.query(f"KILL {connection}")
        wait_until(lambda: not mysql_server.query(listing), 20, "the end of the connections")
        answer = client.post("/orders", json=order_body(order_id), headers=headers)
        assert answer.status_code == 201
