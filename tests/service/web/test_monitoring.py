"""What a processor without a web server answers to those who watch it, and to nobody else."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import urllib3
from flask import Flask
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from service.app import create_app
from service.config import ConfigError
from service.storage.models import db
from service.web.monitoring import MonitoringServer
from tests.support.answers import UNAUTHORIZED
from tests.support.databases import order_body, settings_for
from tests.support.inspection import Store, open_store
from tests.support.ports import HOST, free_port
from tests.support.raw_http import RawConnection
from tests.support.service_process import AUTHORIZATION


@pytest.fixture(scope="module")
def url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database for all of these tests."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("monitoring") / "orders.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[Flask]:
    app = create_app(settings_for(url))
    with app.app_context():
        yield app
        db.engine.dispose()


@pytest.fixture(scope="module")
def port(app: Flask) -> Iterator[int]:
    """The port of a monitoring server; its stop takes half a second."""
    port = free_port()
    server = MonitoringServer.start(app, port)
    assert server is not None
    yield port
    server.stop()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as found:
        found.empty()
        yield found


def ask(
    port: int, path: str, method: str = "GET", *, body: object = None, **headers: str
) -> urllib3.BaseHTTPResponse:
    """Send a request; fail when the answer is HTML."""
    with urllib3.HTTPConnectionPool(HOST, port, retries=False, timeout=10) as pool:
        answer = pool.request(
            method, path, json=body, headers=headers, redirect=False, assert_same_host=False
        )
    assert "html" not in answer.headers["Content-Type"]
    return answer


def error_of(answer: urllib3.BaseHTTPResponse, status: int) -> object:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert list(body) == ["error"]
    return body["error"]


def test_health_and_readiness_need_no_credentials(port: int) -> None:
    assert ask(port, "/healthz").json() == {"status": "ok"}
    answer = ask(port, "/readyz")
    assert (answer.status, answer.json()["status"]) == (200, "ready")


def test_the_figures_need_credentials(port: int) -> None:
    for headers in ({}, urllib3.make_headers(basic_auth="admin:wrong")):
        answer = ask(port, "/metrics", **headers)
        assert error_of(answer, 401) == UNAUTHORIZED["error"]
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_the_figures_in_each_of_their_formats(port: int, store: Store) -> None:
    store.add_orders([1, 2, 3])
    assert ask(port, "/metrics", **AUTHORIZATION).json()["pending_orders"] == 3
    for accept, parse in (
        ("text/plain", prometheus_text),
        ("application/openmetrics-text", openmetrics),
    ):
        answer = ask(port, "/metrics", accept=accept, **AUTHORIZATION)
        assert answer.headers["Content-Type"].startswith(accept)
        samples = [sample for family in parse(answer.data.decode()) for sample in family.samples]
        assert ("order_service_orders", {"status": "Pending"}, 3) in [s[:3] for s in samples]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/ping", "/orders", "/orders/1", "/operations", "/processing", "/nowhere"),
        *("/metrics/", "/metrics/x", "/healthz/x", "/healthz%00", "/openapi.json", "/console/"),
    ],
)
def test_nothing_else_is_there(port: int, path: str) -> None:
    assert error_of(ask(port, path), 401) == UNAUTHORIZED["error"]
    error_of(ask(port, path, **AUTHORIZATION), 404)


def test_nothing_can_be_changed(port: int, store: Store) -> None:
    error_of(ask(port, "/orders", "POST", body=order_body(1), **AUTHORIZATION), 404)
    error_of(ask(port, "/processing/pause", "POST", body={"reason": "?"}, **AUTHORIZATION), 404)
    for method in ("POST", "DELETE", "OPTIONS", "BREW"):
        error_of(ask(port, "/metrics", method, **AUTHORIZATION), 405)
    assert store.statuses() == {}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /<b>'\"\\ HTTP/1.1 x\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ],
    ids=["no HTTP", "markup", "version", "long line", "long field", "many fields"],
)
def test_what_is_no_request_is_refused_in_json(port: int, request_: bytes, status: int) -> None:
    with RawConnection(port) as connection:
        connection.send(request_)
        answer = connection.answer()
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert list(json.loads(answer.body)) == ["error"]
    assert ask(port, "/healthz").status == 200


def test_without_a_port_nobody_is_answered(app: Flask) -> None:
    assert MonitoringServer.start(app, None) is None


def test_an_idle_client_delays_no_stop_and_the_port_is_free_then(app: Flask) -> None:
    port = free_port()
    server = MonitoringServer.start(app, port)
    assert server is not None
    with closing(socket.create_connection((HOST, port))):
        server.stop()
        again = MonitoringServer.start(app, port)
        assert again is not None
        assert ask(port, "/healthz").status == 200
        again.stop()


def test_a_port_in_use_is_refused_and_nothing_is_printed(
    app: Flask, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^METRICS_PORT: {port} cannot be used"):
            MonitoringServer.start(app, port)
    assert capfd.readouterr() == ("", "")
