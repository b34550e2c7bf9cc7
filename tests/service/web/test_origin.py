"""A browser brings its user's credentials to whatever page asks: another site's is refused."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of, json_of
from tests.support.databases import order_body

PAUSE: dict[str, Any] = {"json": {"reason": "moved"}}
PATHS: dict[str, dict[str, Any]] = {
    "/processing/pause": PAUSE,
    "/processing/resume": {},
    "/orders": {"json": order_body(1)},
    "/orders/1/cancel": {},
    "/operations": {"json": {"action": "retry", "filter": {}}},
    "/operations/1/stop": {},
}
FOREIGN = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://[evil"},
)
OWN: tuple[dict[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost:8080"},
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_sites_page_changes_nothing(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, headers=headers, **PATHS[path])
    assert error_of(answer, 403) == "A page of another site must not do that."
    assert json_of(client.get("/processing"))["paused"] is False
    assert client.get("/orders", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_programs_and_own_pages_may(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/processing/pause", headers=headers, **PAUSE).status_code == 200
    assert json_of(client.get("/processing"))["paused"] is True
