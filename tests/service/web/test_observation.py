"""What each request leaves behind: its id in the answer and in every log line, and an access line.

What it leaves in the metrics is in server/test_own_figures.py.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from service.storage.models import db
from service.telemetry.logs import ContextFilter
from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body

pytestmark = ONLY_SQLITE

LARGEST_ID = 2**63 - 1
MINE = {"X-Request-ID": "mine"}
NEW_ID = re.compile(r"[0-9a-f]{32}")
REQUESTS = [
    ("GET", "/ping", 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/orders", 200),
    ("GET", "/metrics", 200),
    ("GET", "/orders/1", 404),
    ("GET", "/nowhere", 404),
    ("DELETE", "/orders", 405),
    ("GET", "/orders?limit=0", 400),
    ("POST", "/orders", 415),
]
Records = list[logging.LogRecord]


class Collector(logging.Handler):
    """A handler that keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: Records = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[Records]:
    """The service's records, as its own handler gets them."""
    handler = Collector()
    handler.addFilter(ContextFilter())
    logger = logging.getLogger("service")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_answer_has_an_id_and_a_line(
    client: FlaskClient, records: Records, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    json_of(answer)
    assert NEW_ID.fullmatch(answer.headers["X-Request-ID"])
    [line] = [vars(one) for one in records if one.name == "service.access"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["method"], line["status"]) == (method, status)


def test_the_callers_id_is_kept(client: FlaskClient) -> None:
    answer = client.post("/orders", json=order_body(1), headers=MINE)
    assert (answer.status_code, answer.headers.getlist("X-Request-ID")) == (201, ["mine"])


def test_an_insane_id_is_replaced(client: FlaskClient) -> None:
    answer = client.get("/ping", environ_overrides={"HTTP_X_REQUEST_ID": "a\x1b[31m"})
    assert NEW_ID.fullmatch(answer.headers["X-Request-ID"])


def test_each_request_gets_an_id_of_its_own(client: FlaskClient) -> None:
    assert len({client.get("/ping").headers["X-Request-ID"] for _ in range(20)}) == 20


def test_what_an_access_line_says(client: FlaskClient, records: Records) -> None:
    client.post("/orders", json=order_body(LARGEST_ID), headers=MINE)
    [record] = [one for one in records if one.name == "service.access"]
    line = vars(record)
    assert (line["request_id"], line["order_id"]) == ("mine", LARGEST_ID)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/orders", 201)
    assert line["milliseconds"] > 0


def test_a_refused_request_is_logged_without_its_credentials(
    client: FlaskClient, records: Records
) -> None:
    headers = {"Authorization": "Basic YWRtaW46aHVudGVyMg=="} | MINE
    answer = client.get("/orders", headers=headers)
    assert answer.headers["X-Request-ID"] == vars(records[-1])["request_id"] == "mine"
    assert vars(records[-1])["status"] == 401
    logged = str([vars(record) for record in records])
    assert "hunter2" not in logged
    assert "YWRtaW46" not in logged


@pytest.mark.parametrize(
    ("error", "status", "logged"),
    [
        (RuntimeError("secret detail"), 500, "unexpected error"),
        (
            OperationalError("", {}, OSError("secret host")),
            503,
            "the database cannot serve: secret host",
        ),
    ],
    ids=["a mistake", "no database"],
)
def test_each_line_of_a_request_that_fails_has_its_id(
    client: FlaskClient, records: Records, error: Exception, status: int, logged: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    event.listen(db.engine, "before_cursor_execute", fail)
    try:
        answer = client.get("/orders", headers=MINE)
    finally:
        event.remove(db.engine, "before_cursor_execute", fail)
    assert "secret" not in error_of(answer, status)
    failure, access = records
    assert failure.getMessage() == logged
    assert bool(failure.exc_info) == (status == 500)
    assert access.name == "service.access"
    assert [vars(record)["request_id"] for record in records] == ["mine", "mine"]


def test_the_id_ends_with_the_request(client: FlaskClient, records: Records) -> None:
    client.get("/ping", headers=MINE)
    logging.getLogger("service").info("later")
    assert "request_id" not in vars(records[-1])
