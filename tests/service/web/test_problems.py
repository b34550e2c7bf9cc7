"""Errors in both of their forms: the plain one, and problem details for who prefers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from service.openapi.answers import MEMBERS, error_example, problem_example
from service.runtime import runtime
from service.storage.failures import OutcomeUnknown, Overloaded
from service.web.auth import Forbidden, Scope
from service.web.errors import ApiError
from service.web.problems import PROBLEMS
from tests.support import states
from tests.support.answers import json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

pytestmark = ONLY_SQLITE
PROBLEM = "application/problem+json"
Ask = Callable[..., TestResponse]


def post(client: FlaskClient, headers: dict[str, str], **options: Any) -> TestResponse:
    return client.post("/orders", headers=headers, **options)


def with_key(client: FlaskClient, headers: dict[str, str], **options: Any) -> TestResponse:
    return post(client, headers | {"Idempotency-Key": "k"}, **options)


# Each code that a request alone can have, and such a request; order 1 is Completed.
ASK: dict[str, Ask] = {
    "malformed_body": lambda its, h: post(its, h, data="{", content_type="application/json"),
    "validation_failed": lambda its, h: post(its, h, json=order_body(7, user_id=0)),
    "invalid_idempotency_key": lambda its, h: post(
        its, h | {"Idempotency-Key": "é"}, json=order_body(7)
    ),
    "unauthorized": lambda its, h: its.get("/orders", headers=h | {"Authorization": "Basic eDp5"}),
    "not_found": lambda its, h: its.get("/nowhere", headers=h),
    "order_not_found": lambda its, h: its.get("/orders/99", headers=h),
    "operation_not_found": lambda its, h: its.get("/operations/99", headers=h),
    "method_not_allowed": lambda its, h: its.delete("/orders", headers=h),
    "duplicate_order": lambda its, h: post(its, h, json=order_body(1)),
    "order_not_pending": lambda its, h: its.post("/orders/2/cancel", headers=h),
    "body_too_large": lambda its, h: post(
        its, h, data=b" " * 1_048_577, content_type="application/json"
    ),
    "foreign_site": lambda its, h: its.post(
        "/processing/resume", headers=h | {"Sec-Fetch-Site": "cross-site"}
    ),
    "unsupported_media_type": lambda its, h: post(its, h, data="{}", content_type="text/plain"),
    "unsupported_content_coding": lambda its, h: post(
        its, h | {"Content-Encoding": "gzip"}, json=order_body(7)
    ),
    "idempotency_key_reused": lambda its, h: with_key(its, h, json=order_body(8)),
}
FAILURES: dict[str, Exception] = {
    "unavailable": OperationalError("SELECT", {}, Exception("secret host")),
    "overloaded": Overloaded("too many"),
    "outcome_unknown": OutcomeUnknown("lost"),
    "internal_error": ZeroDivisionError("secret"),
    "insufficient_scope": Forbidden(Scope.OPERATE),
    "not_ready": ApiError(
        503, "Not ready", {"Retry-After": "1"}, code="not_ready", members=MEMBERS["not_ready"]
    ),
    # Only the real server passes a request without a Host.
    "bad_request": ApiError(400, "There is no Host header; HTTP/1.1 requires one."),
}


@pytest.fixture
def used(client: FlaskClient, store: Store) -> FlaskClient:
    """A client of a service that has orders already, and the key `k`."""
    states.fill(store, pending=0, processing=1, completed=1, failed=0)
    assert store.statuses() == {1: "Completed", 2: "Processing"}
    assert with_key(client, {}, json=order_body(5)).status_code == 201
    return client


def check(code: str, ask: Callable[[dict[str, str]], TestResponse]) -> None:
    """Compare what is answered, in both forms, with what the document says."""
    status = PROBLEMS[code].status
    for accept in (None, "*/*", "application/json", "text/html", f"{PROBLEM};q=0.5, */*"):
        plain = ask({} if accept is None else {"Accept": accept})
        assert (plain.status_code, plain.content_type) == (status, "application/json"), accept
        assert json_of(plain) == error_example(code)
        assert "Accept" in plain.headers["Vary"]
    asked = {"Accept": f"{PROBLEM}, application/json;q=0.9", "X-Request-ID": "mine"}
    answer = ask(asked)
    assert (answer.status_code, answer.content_type) == (status, PROBLEM)
    assert answer.json == problem_example(code) | {"request_id": "mine"}
    assert [name for name, _ in plain.headers] == [name for name, _ in answer.headers]


@pytest.mark.parametrize("code", ASK)
def test_each_error_is_what_the_document_says(used: FlaskClient, code: str) -> None:
    check(code, lambda headers: ASK[code](used, headers))


@pytest.mark.parametrize("code", FAILURES)
def test_each_failure_is_what_the_document_says(
    client: FlaskClient, app: Flask, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise FAILURES[code]

    monkeypatch.setattr(runtime(app).acceptor, "status", fail)
    check(code, lambda headers: client.get("/orders/1", headers=headers))


def test_no_code_is_left_out(url: str) -> None:
    assert {*ASK, *FAILURES} == set(PROBLEMS), url


@pytest.mark.parametrize(
    ("accept", "is_problem"),
    [
        (PROBLEM, True),
        ("Application/Problem+JSON", True),
        (f"{PROBLEM}, */*", True),
        (f"{PROBLEM}, */*;q=0.1", True),
        (f"application/json;q=0.5, {PROBLEM};q=0.6", True),
        (f"application/json, {PROBLEM}", False),
        (f"{PROBLEM};q=0", False),
        ("application/*", False),
        ("", False),
    ],
)
def test_who_prefers_problem_details(client: FlaskClient, accept: str, is_problem: bool) -> None:
    answer = client.get("/orders/99", headers={"Accept": accept})
    assert answer.content_type == (PROBLEM if is_problem else "application/json")


def test_a_success_is_json_for_them_as_well(client: FlaskClient) -> None:
    answer = client.post("/orders", json=order_body(1), headers={"Accept": PROBLEM})
    assert (answer.status_code, answer.content_type) == (201, "application/json")
    assert "Vary" not in answer.headers


def test_metrics_vary(client: FlaskClient) -> None:
    for accept in ("application/json", "text/plain"):
        answer = client.get("/metrics", headers={"Accept": accept})
        assert answer.headers["Vary"] == "Accept"
