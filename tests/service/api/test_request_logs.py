"""Every log line of a request carries its id, and its order's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from service.logs import ContextFilter
from service.models import db
from tests.support.databases import order_body

LARGEST_ID = 2**63 - 1


class Collector(logging.Handler):
    """A handler that keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
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


def test_one_line_for_each_request(client: FlaskClient, records: list[logging.LogRecord]) -> None:
    client.post("/orders", json=order_body(LARGEST_ID), headers={"X-Request-ID": "mine"})
    [record] = [one for one in records if one.name == "service.access"]
    line = vars(record)
    assert (line["request_id"], line["order_id"]) == ("mine", LARGEST_ID)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/orders", 201)
    assert line["milliseconds"] > 0


@pytest.mark.parametrize("path", ["/ping", "/nowhere", "/orders?limit=x", "/metrics"])
def test_every_request_is_logged(
    client: FlaskClient, records: list[logging.LogRecord], path: str
) -> None:
    answer = client.get(path)
    ids = [vars(one)["request_id"] for one in records if one.name == "service.access"]
    assert ids == [answer.headers["X-Request-ID"]]


def test_a_refused_request_is_logged_without_its_credentials(
    client: FlaskClient, records: list[logging.LogRecord]
) -> None:
    client.get("/orders", headers={"Authorization": "Basic YWRtaW46aHVudGVyMg=="})
    assert vars(records[-1])["status"] == 401
    logged = str([vars(record) for record in records])
    assert "hunter2" not in logged
    assert "YWRtaW46" not in logged


def test_an_unexpected_error_is_logged_and_not_shown(
    app: Flask, client: FlaskClient, records: list[logging.LogRecord]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret detail")

    assert app
    event.listen(db.engine, "before_cursor_execute", fail)
    try:
        answer = client.get("/orders", headers={"X-Request-ID": "mine"})
    finally:
        event.remove(db.engine, "before_cursor_execute", fail)
    assert (answer.status_code, answer.json) == (500, {"error": "Internal server error"})
    [record] = [one for one in records if one.levelname == "ERROR"]
    assert vars(record)["request_id"] == "mine"
    assert record.exc_info


def test_the_id_ends_with_the_request(
    client: FlaskClient, records: list[logging.LogRecord]
) -> None:
    client.get("/ping", headers={"X-Request-ID": "mine"})
    logging.getLogger("service").info("later")
    assert "request_id" not in vars(records[-1])
