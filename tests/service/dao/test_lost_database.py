"""Without its database the service answers 503 and `Retry-After`: no 500, hang or traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service import create_app
from service.models import db
from tests.support.answers import error_of, json_of
from tests.support.databases import order_body, settings_for
from tests.support.mysql_server import MySQLServer
from tests.support.ports import free_port
from tests.support.service_process import AUTHORIZATION

# The password is in the URL, and never in an answer.
PASSWORD = "hunter2hunter2"
mysql = pytest.mark.mysql


def directory(_request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}"


def no_table(_request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/fresh.db"


def no_database_file(_request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "text.db").write_text("This is no database. " * 1000)
    return f"sqlite:///{tmp_path}/text.db"


def closed_port(_request: pytest.FixtureRequest, _tmp_path: Path) -> str:
    return f"mysql+pymysql://orders:{PASSWORD}@127.0.0.1:{free_port()}/orders"


def no_such_host(_request: pytest.FixtureRequest, _tmp_path: Path) -> str:
    return f"mysql+pymysql://orders:{PASSWORD}@database.invalid:3306/orders"


def wrong_password(request: pytest.FixtureRequest, _tmp_path: Path) -> str:
    server: MySQLServer = request.getfixturevalue("mysql_server")
    return f"mysql+pymysql://orders:{PASSWORD}@{server.host}:{server.port}/orders"


def no_such_database(request: pytest.FixtureRequest, _tmp_path: Path) -> str:
    server: MySQLServer = request.getfixturevalue("mysql_server")
    return server.url("orders_gone")


def no_mysql_table(request: pytest.FixtureRequest, _tmp_path: Path) -> str:
    server: MySQLServer = request.getfixturevalue("mysql_server")
    return server.url(server.create_database())


@pytest.fixture(
    params=[
        directory,
        no_table,
        no_database_file,
        closed_port,
        no_such_host,
        pytest.param(wrong_password, marks=mysql),
        pytest.param(no_such_database, marks=mysql),
        pytest.param(no_mysql_table, marks=mysql),
    ],
    ids=lambda make: make.__name__,
)
def bereft(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a service without a database that it could use."""
    app = create_app(settings_for(request.param(request, tmp_path)))
    with app.app_context():
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZATION["authorization"]
        yield client
        db.engine.dispose()


@pytest.mark.parametrize("path", ["/ping", "/healthz"])
def test_the_process_still_answers(bereft: FlaskClient, path: str) -> None:
    assert bereft.get(path).status_code == 200


def test_readyz_names_the_database(bereft: FlaskClient) -> None:
    answer = bereft.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert set(json_of(answer)["problems"]) & {"database", "schema"}
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    "path", ["/orders", "/orders?status=Pending", "/orders/1", "/orders/1?view=full", "/metrics"]
)
def test_reading_is_unavailable(bereft: FlaskClient, path: str) -> None:
    started = time.monotonic()
    answer = bereft.get(path)
    assert isinstance(error_of(answer, 503), str)
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["X-Request-ID"]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "key"}], ids=["plain", "key"])
def test_writing_is_unavailable(bereft: FlaskClient, headers: dict[str, str]) -> None:
    answer = bereft.post("/orders", json=order_body(1), headers=headers)
    assert isinstance(error_of(answer, 503), str)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Location" not in answer.headers


def test_the_exposition_is_unavailable(bereft: FlaskClient) -> None:
    error_of(bereft.get("/metrics", headers={"Accept": "text/plain"}), 503)


def test_what_needs_no_database_is_answered(bereft: FlaskClient) -> None:
    error_of(bereft.get("/orders", headers={"Authorization": ""}), 401)
    error_of(bereft.post("/orders", json={}), 400)
    error_of(bereft.get("/nowhere"), 404)


def test_logs_hold_no_password(bereft: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    bereft.get("/orders")
    assert [record for record in caplog.records if record.levelname == "WARNING"]
    assert PASSWORD not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
