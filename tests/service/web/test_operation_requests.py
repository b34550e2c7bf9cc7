"""`POST /operations`: what is refused, and says why. `GET /operations`: pages by cursor."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE

STATUSES = "Pending, Processing, Completed, Failed, Cancelled"
ID_RANGE = "Must be from 1 to 9223372036854775807."
MOMENT = "Not a moment; expected one like 2026-01-31T12:00:00Z."
# A body, and what is said of it.
REFUSED: list[tuple[str, object]] = [
    (
        "{}",
        {
            "action": ["Missing data for required field."],
            "filter": ["Missing data for required field."],
        },
    ),
    ('{"action": "retry"}', {"filter": ["Missing data for required field."]}),
    ('{"filter": {}}', {"action": ["Missing data for required field."]}),
    ('{"action": "delete", "filter": {}}', {"action": ["Must be one of: retry, cancel."]}),
    ('{"action": ["retry"], "filter": {}}', {"action": ["Not a valid string."]}),
    ('{"action": null, "filter": {}}', {"action": ["Field may not be null."]}),
    ('{"action": "retry", "filter": null}', {"filter": ["Field may not be null."]}),
    ('{"action": "retry", "filter": []}', {"filter": {"_schema": ["Invalid input type."]}}),
    ('{"action": "retry", "filter": {}, "all": true}', {"all": ["Unknown field."]}),
    ('{"action": "retry", "filter": {}, "new_key": 1}', {"new_key": ["Not a valid boolean."]}),
    ('{"action": "retry", "filter": {}, "new_key": "true"}', {"new_key": ["Not a valid boolean."]}),
    (
        '{"action": "cancel", "filter": {}, "new_key": true}',
        {"new_key": ["Only a retry can have a new key."]},
    ),
]
# A filter of a retry, and what is said of its one field.
BAD_FILTERS = [
    ('"status": "Done"', f"Must be one of: {STATUSES}."),
    ('"status": "failed"', f"Must be one of: {STATUSES}."),
    ('"status": "Failed,Pending"', f"Must be one of: {STATUSES}."),
    ('"status": "Completed"', "Must be one of: Failed, Pending, for retry."),
    ('"status": "Cancelled"', "Must be one of: Failed, Pending, for retry."),
    ('"status": "Processing"', "Must be one of: Failed, Pending, for retry."),
    ('"status": null', "Field may not be null."),
    ('"user_id": 0', ID_RANGE),
    ('"user_id": 9223372036854775808', ID_RANGE),
    ('"user_id": "7"', "Not a valid integer."),
    ('"user_id": 7.0', "Not a valid integer."),
    ('"user_id": true', "Not a valid integer."),
    ('"created_from": "2026-01-01"', MOMENT),
    ('"created_from": "2026-01-01T00:00:00"', MOMENT),
    ('"created_from": "2026-13-01T00:00:00Z"', MOMENT),
    ('"created_from": 1767225600', MOMENT),
    ('"created_to": ""', MOMENT),
    ('"created_to": "0001-01-01T00:00:00+01:00"', MOMENT),
    ('"error_contains": ""', "Length must be between 1 and 200."),
    (f'"error_contains": "{"x" * 201}"', "Length must be between 1 and 200."),
    ('"error_contains": 5', "Not a valid string."),
    ('"error_contains": "\\ud800"', "Not valid Unicode: it has half a surrogate pair."),
    ('"order_id": 7', "Unknown field."),
]

pytestmark = ONLY_SQLITE


def post(client: FlaskClient, body: str) -> Any:
    return client.post("/operations", data=body, content_type="application/json")


def listed(client: FlaskClient, query: str = "") -> tuple[list[int], str | None]:
    """Return the ids of one page, and the cursor of the next."""
    answer = client.get(f"/operations?{query}")
    assert answer.status_code == 200, answer.text
    body = json_of(answer)
    assert set(body) == {"operations", "next"}
    return [one["operation_id"] for one in body["operations"]], body["next"]


@pytest.mark.parametrize(("body", "error"), REFUSED, ids=str)
def test_a_body_that_is_refused(client: FlaskClient, body: str, error: object) -> None:
    assert error_of(post(client, body), 400) == error
    assert listed(client) == ([], None)


@pytest.mark.parametrize(("field", "problem"), BAD_FILTERS, ids=str)
def test_a_filter_that_is_refused(client: FlaskClient, field: str, problem: str) -> None:
    body = f'{{"action": "retry", "filter": {{{field}}}}}'
    name = field.split('"')[1]
    assert error_of(post(client, body), 400) == {"filter": {name: [problem]}}
    assert listed(client) == ([], None)


@pytest.mark.parametrize("status", ["Failed", "Completed", "Processing", "Cancelled"])
def test_only_pending_orders_are_cancelled(client: FlaskClient, status: str) -> None:
    answer = post(client, f'{{"action": "cancel", "filter": {{"status": "{status}"}}}}')
    problem = "Must be one of: Pending, for cancel."
    assert error_of(answer, 400) == {"filter": {"status": [problem]}}
    assert listed(client) == ([], None)


def test_a_body_that_is_no_json_object(client: FlaskClient) -> None:
    error_of(client.post("/operations", data="action=retry"), 415)
    for body in ("", "[]", '{"action"', '{"action": "retry", "action": "retry"}'):
        assert isinstance(error_of(post(client, body), 400), str)
    assert listed(client) == ([], None)


def test_the_newest_are_first_and_pages_have_no_gaps(client: FlaskClient) -> None:
    numbers = [
        json_of(post(client, '{"action": "retry", "filter": {}}'))["operation_id"]
        for _ in range(21)
    ]
    newest_first = sorted(numbers, reverse=True)
    ids, following = listed(client)
    assert ids == newest_first[:20], "twenty by default"
    assert listed(client, f"after={following}") == (newest_first[20:], None)
    assert listed(client, "limit=100") == (newest_first, None)
    found, cursor = listed(client, "limit=7")
    while cursor is not None:
        post(client, '{"action": "cancel", "filter": {}}')
        ids, cursor = listed(client, f"limit=7&after={cursor}")
        found += ids
    assert found == newest_first


def test_the_list_shows_what_each_one_shows(client: FlaskClient) -> None:
    for user_id in (1, 2):
        post(client, f'{{"action": "retry", "filter": {{"user_id": {user_id}}}}}')
    shown = json_of(client.get("/operations"))["operations"]
    assert [one["filter"] for one in shown] == [{"user_id": 2}, {"user_id": 1}]
    for one in shown:
        assert one == json_of(client.get(f"/operations/{one['operation_id']}"))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1&limit=1", "limit"),
        ("limit=01", "limit"),
        ("after=7", "after"),
        ("after=MA==", "after"),
        ("state=Running", "state"),
    ],
)
def test_another_query_is_refused(client: FlaskClient, query: str, name: str) -> None:
    assert list(error_of(client.get(f"/operations?{query}"), 400)) == [name]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_an_operation_is_not_modified_otherwise(client: FlaskClient, method: str) -> None:
    post(client, '{"action": "retry", "filter": {}}')
    for path, allowed in (
        ("/operations", {"GET", "HEAD", "POST"}),
        ("/operations/1", {"GET", "HEAD"}),
        ("/operations/1/stop", {"POST"}),
    ):
        answer = client.open(path, method=method, json={})
        error_of(answer, 405)
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed
