"""`/processing`: a pause of all processors, who asked for it, and why.

That they obey is in processing/test_pauses.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import create_app
from tests.support.answers import error_of, json_of
from tests.support.commands import run
from tests.support.databases import ONLY_SQLITE, settings_for
from tests.support.inspection import Store
from tests.support.service_process import AUTHORIZATION

GOES_ON = {
    "paused": False,
    "paused_by": None,
    "paused_at": None,
    "reason": None,
    "receiver": {"state": "ok", "since": None, "until": None},
}


def pause(client: FlaskClient, reason: str) -> TestResponse:
    return client.post("/processing/pause", json={"reason": reason})


def shown(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/processing")
    assert answer.status_code == 200
    body: dict[str, Any] = json_of(answer)
    return body


def test_at_first_it_goes_on(client: FlaskClient) -> None:
    assert shown(client) == GOES_ON


def test_a_pause_says_who_and_why_and_when_until_it_is_resumed(client: FlaskClient) -> None:
    answer = pause(client, "a stocktaking, until six")
    assert answer.status_code == 200
    state = json_of(answer)
    assert state == shown(client)
    paused_at = datetime.fromisoformat(state.pop("paused_at"))
    assert abs(datetime.now(UTC) - paused_at) < timedelta(minutes=5)
    told = {"paused": True, "paused_by": "admin", "reason": "a stocktaking, until six"}
    assert state == {key: value for key, value in (GOES_ON | told).items() if key != "paused_at"}
    answer = client.post("/processing/resume")
    assert answer.status_code == 200
    assert json_of(answer) == GOES_ON
    assert shown(client) == GOES_ON


def test_who_pauses_what_is_paused_changes_nothing(client: FlaskClient) -> None:
    first = json_of(pause(client, "first"))
    answer = pause(client, "second")
    assert (answer.status_code, json_of(answer)) == (200, first)


def test_who_resumes_what_goes_on_changes_nothing(client: FlaskClient) -> None:
    answer = client.post("/processing/resume")
    assert (answer.status_code, json_of(answer)) == (200, GOES_ON)


@pytest.mark.parametrize("reason", ["x", "x" * 1000, "日本 \U0001f600", "a\nb\x00\x1b[2J", " "])
def test_any_text_may_be_the_reason(client: FlaskClient, reason: str) -> None:
    assert json_of(pause(client, reason))["reason"] == reason


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "reason"),
        ('{"reason": null}', "reason"),
        ('{"reason": ""}', "reason"),
        ('{"reason": 5}', "reason"),
        ('{"reason": ["x"]}', "reason"),
        ('{"reason": "\\ud800"}', "reason"),
        (f'{{"reason": "{"x" * 1001}"}}', "reason"),
        ('{"reason": "x", "until": "six"}', "until"),
    ],
)
def test_a_pause_needs_a_reason_and_nothing_else(
    client: FlaskClient, body: str, field: str
) -> None:
    answer = client.post("/processing/pause", data=body, content_type="application/json")
    [(name, problems)] = error_of(answer, 400).items()
    assert name == field
    assert all(isinstance(problem, str) for problem in problems)
    assert shown(client) == GOES_ON


@ONLY_SQLITE
def test_a_pause_is_json(client: FlaskClient) -> None:
    error_of(client.post("/processing/pause", data="reason=x"), 415)
    error_of(client.post("/processing/pause", data="[]", content_type="application/json"), 400)
    assert shown(client) == GOES_ON


@ONLY_SQLITE
def test_a_name_that_is_longer_than_its_column(sqlite_url: str, client: FlaskClient) -> None:
    name = "n" * 300
    app = create_app(settings_for(sqlite_url, auth_username=name))
    answer = app.test_client().post(
        "/processing/pause", json={"reason": "x"}, auth=(name, "securepassword")
    )
    assert name.startswith(json_of(answer)["paused_by"])
    assert len(shown(client)["paused_by"]) == 255


def test_another_application_on_the_database_sees_it(
    client: FlaskClient, store: Store, url: str
) -> None:
    # As after a restart, and as on another host.
    before = json_of(pause(client, "a restart"))
    other = create_app(settings_for(url))
    answer = other.test_client().get("/processing", headers=AUTHORIZATION)
    assert json_of(answer) == before
    assert run(other, "processing", "resume").exit_code == 0
    assert shown(client) == GOES_ON
    assert store.statuses() == {}
