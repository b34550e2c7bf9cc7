"""What every answer has: JSON and a request id; and the public paths."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of, json_of
from tests.support.databases import order_body

NEW_ID = re.compile(r"[0-9a-f-]{32,36}")
REQUESTS = {
    "ping": ("GET", "/ping", 200),
    "healthz": ("GET", "/healthz", 200),
    "readyz": ("GET", "/readyz", 200),
    "list": ("GET", "/orders", 200),
    "metrics": ("GET", "/metrics", 200),
    "unknown order": ("GET", "/orders/1", 404),
    "unknown path": ("GET", "/nowhere", 404),
    "wrong method": ("DELETE", "/orders", 405),
    "bad query": ("GET", "/orders?limit=0", 400),
    "no body": ("POST", "/orders", 415),
}


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS.values(), ids=REQUESTS)
def test_every_answer_is_json_and_has_an_id(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    json_of(answer)
    assert NEW_ID.fullmatch(answer.headers["X-Request-ID"])


def test_a_refusal_has_an_id_too(client: FlaskClient) -> None:
    answer = client.get("/orders", headers={"Authorization": "", "X-Request-ID": "mine"})
    assert answer.status_code == 401
    assert answer.headers.getlist("X-Request-ID") == ["mine"]


@pytest.mark.parametrize(
    "sane", ["a", "abc-123", "0af7651916cd43dd8448eb211c80319c", "a.b_c:d/e+f=", "x" * 128]
)
def test_a_sane_id_comes_back(client: FlaskClient, sane: str) -> None:
    answer = client.get("/ping", headers={"X-Request-ID": sane})
    assert answer.headers.getlist("X-Request-ID") == [sane]


@pytest.mark.parametrize(
    "insane",
    ["", " ", "a b", "x" * 10_000, "a\tb", "<script>", "a\x00b", '"', "é", "a\x1b[31m", "{{7*7}}"],
)
def test_an_insane_id_is_replaced(client: FlaskClient, insane: str) -> None:
    answer = client.get("/ping", environ_overrides={"HTTP_X_REQUEST_ID": insane})
    assert NEW_ID.fullmatch(answer.headers["X-Request-ID"])


def test_each_request_gets_an_id_of_its_own(client: FlaskClient) -> None:
    ids = {client.get("/ping").headers["X-Request-ID"] for _ in range(20)}
    assert len(ids) == 20


def test_an_accepted_order_keeps_the_callers_id(client: FlaskClient) -> None:
    answer = client.post("/orders", json=order_body(1), headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (201, "mine")


def test_ping_says_success(client: FlaskClient) -> None:
    answer = client.get("/ping")
    assert answer.status_code == 200
    assert json_of(answer) == {"message": "success"}


@pytest.mark.parametrize("path", ["/ping", "/healthz", "/readyz"])
def test_the_public_paths_need_no_credentials(client: FlaskClient, path: str) -> None:
    client.environ_base.pop("HTTP_AUTHORIZATION")
    assert client.get(path).status_code == 200


def test_401_to_the_letter(client: FlaskClient) -> None:
    answer = client.get("/orders/123", headers={"Authorization": "Basic bm86bm8="})
    assert error_of(answer, 401) == "Unauthorized access. Invalid credentials."
    assert answer.headers["WWW-Authenticate"].split()[0] == "Basic"
