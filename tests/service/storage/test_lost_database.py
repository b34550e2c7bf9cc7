"""Without its database the service answers 503 and `Retry-After`: no 500, hang or traceback."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from service.app import create_app
from service.storage.models import db
from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_MYSQL, order_body, settings_for
from tests.support.inspection import Store
from tests.support.mysql_server import MySQLServer
from tests.support.ports import free_port
from tests.support.service_process import AUTHORIZATION

# The password is in the URL, and never in an answer.
PASSWORD = "hunter2hunter2"
UNKNOWN_HOST = "database.invalid"
KEY = {"Idempotency-Key": "key"}


@contextmanager
def service_on(url: str) -> Iterator[FlaskClient]:
    app = create_app(settings_for(url))
    with app.app_context():
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZATION["authorization"]
        yield client
        db.engine.dispose()


def mysql_url(host: str, port: int) -> str:
    return f"mysql+pymysql://orders:{PASSWORD}@{host}:{port}/orders"


def directory(folder: Path) -> str:
    return f"sqlite:///{folder}"


def file_without_tables(folder: Path) -> str:
    return f"sqlite:///{folder}/fresh.db"


def file_of_text(folder: Path) -> str:
    (folder / "text.db").write_text("This is no database. " * 1000)
    return f"sqlite:///{folder}/text.db"


def closed_port(_folder: Path) -> str:
    return mysql_url("127.0.0.1", free_port())


def unknown_host(_folder: Path) -> str:
    return mysql_url(UNKNOWN_HOST, 3306)


def wrong_password(server: MySQLServer) -> str:
    return mysql_url(server.host, server.port)


def no_such_database(server: MySQLServer) -> str:
    return server.url("orders_gone")


def no_tables(server: MySQLServer) -> str:
    return server.url(server.create_database())


@pytest.fixture(autouse=True)
def resolver_without_the_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who resolves names here, and how fast, decides nothing."""
    resolve = socket.getaddrinfo

    def look_up(host: str, *arguments: int) -> object:
        if host == UNKNOWN_HOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def assert_unavailable(answer: TestResponse) -> None:
    assert isinstance(error_of(answer, 503), str)
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["X-Request-ID"]
    assert "Location" not in answer.headers


def assert_says_so(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Fail unless a service on this database tells clients, `/readyz` and the log what it lacks."""
    with service_on(url) as client:
        assert_unavailable(client.get("/orders/1"))
        assert_unavailable(client.post("/orders", json=order_body(1)))
        assert client.get("/ping").status_code == 200
        not_ready = client.get("/readyz")
    assert not_ready.status_code == 503
    assert set(json_of(not_ready)["problems"]) & {"database", "schema"}
    assert PASSWORD not in not_ready.text
    assert [record for record in caplog.records if record.levelname == "WARNING"]
    assert PASSWORD not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "lose",
    [directory, file_without_tables, file_of_text, closed_port, unknown_host],
    ids=lambda lose: lose.__name__,
)
def test_a_database_that_is_not_there(
    lose: Callable[[Path], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert_says_so(lose(tmp_path), caplog)


@pytest.mark.mysql
@pytest.mark.parametrize(
    "lose", [wrong_password, no_such_database, no_tables], ids=lambda lose: lose.__name__
)
def test_a_server_that_does_not_let_the_service_in(
    lose: Callable[[MySQLServer], str], mysql_server: MySQLServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert_says_so(lose(mysql_server), caplog)


def test_whatever_needs_the_database_is_unavailable(tmp_path: Path) -> None:
    with service_on(closed_port(tmp_path)) as client:
        for path in ("/orders?status=Pending", "/orders/1?view=full", "/metrics"):
            assert_unavailable(client.get(path))
        assert_unavailable(client.post("/orders", json=order_body(1), headers=KEY))


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
@pytest.mark.parametrize("lose", [file_without_tables, closed_port], ids=lambda it: it.__name__)
def test_prometheus_gets_the_services_own_figures_and_that_the_database_is_away(
    lose: Callable[[Path], str], accept: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with service_on(lose(tmp_path)) as client:
        answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.mimetype == accept
    samples = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[0] != "#")
    assert float(samples["order_service_database_up"]) == 0
    assert 'order_service_orders_finished_total{status="Failed"}' in samples
    assert not [name for name in samples if name.startswith("order_service_orders{")]
    assert "metrics without the database's figures" in caplog.text


def test_what_needs_no_database_is_answered(tmp_path: Path) -> None:
    with service_on(closed_port(tmp_path)) as client:
        assert client.get("/healthz").status_code == 200
        error_of(client.get("/orders", headers={"Authorization": ""}), 401)
        error_of(client.post("/orders", json={}), 400)
        error_of(client.get("/nowhere"), 404)


@ONLY_MYSQL
def test_a_database_that_takes_no_writes(
    client: FlaskClient, store: Store, mysql_server: MySQLServer
) -> None:
    with mysql_server.read_only():
        not_ready = client.get("/readyz")
        assert not_ready.status_code == 503
        assert json_of(not_ready)["problems"] == {"database": "takes no writes"}
        for headers in ({}, KEY):
            assert_unavailable(client.post("/orders", json=order_body(1), headers=headers))
        error_of(client.get("/orders/1"), 404)
    assert client.post("/orders", json=order_body(1), headers=KEY).status_code == 201
    assert store.statuses() == {1: "Pending"}


@ONLY_MYSQL
@pytest.mark.usefixtures("store")
def test_connections_to_a_former_primary_are_given_up(client: FlaskClient) -> None:
    """Its successor is at the same address, and whoever connects anew finds it."""
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(db.engine.connect())
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
    assert_unavailable(client.post("/orders", json=order_body(1)))
    for number in range(2, 6):
        assert client.post("/orders", json=order_body(number)).status_code == 201


def test_a_file_that_takes_no_writes(sqlite_url: str) -> None:
    """As root one may write to any file, so SQLite itself is told."""

    def refuse_writes(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    with service_on(sqlite_url) as client:
        event.listen(db.engine, "connect", refuse_writes)
        assert_unavailable(client.post("/orders", json=order_body(1)))
        not_ready = client.get("/readyz")
        error_of(client.get("/orders/1"), 404)
    assert not_ready.status_code == 503
    assert json_of(not_ready)["problems"] == {"database": "takes no writes"}
