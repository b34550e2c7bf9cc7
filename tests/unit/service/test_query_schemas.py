"""Query strings: cursors, integers, moments and choices."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from service.storage.models import OrderStatus
from service.web.fields import encode_cursor, parse_integer
from service.web.schemas import ListQuerySchema, QuerySchema, ViewQuerySchema

LARGEST_ID = 2**63 - 1


def load_list(**query: str) -> dict[str, Any]:
    loaded: dict[str, Any] = ListQuerySchema().load(query)
    return loaded


def refused(**query: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_list(**query)
    assert isinstance(caught.value.messages, dict)
    assert list(caught.value.messages) == list(query)


@given(st.integers(1, LARGEST_ID))
def test_a_cursor_leads_back_to_its_row(row_id: int) -> None:
    assert load_list(after=encode_cursor(row_id))["before"] == row_id


@given(st.integers(1, LARGEST_ID))
def test_a_cursor_needs_no_escaping_in_a_url(row_id: int) -> None:
    assert set(encode_cursor(row_id)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    )


@given(st.text(min_size=1))
def test_arbitrary_text_is_no_cursor(text: str) -> None:
    try:
        row_id = load_list(after=text)["before"]
    except ValidationError:
        return
    assert encode_cursor(row_id) == text


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1",
        "+1",
        "01",
        " 1",
        "1.0",
        "1_0",
        "",
        "x",
        "٣",
        str(LARGEST_ID + 1),
        "9" * 5000,
    ],
    ids=lambda text: text[:20] or "nothing",
)
def test_forged_cursors(text: str) -> None:
    refused(after=urlsafe_b64encode(text.encode()).decode() or "====")


@pytest.mark.parametrize(
    "cursor",
    ["MQ", "MQ===", " MQ==", "MQ==\n", "MR==", "MQ==MQ==", "é", "\ud800", "="],
)
def test_cursors_of_another_form(cursor: str) -> None:
    # MR== decodes to the same as MQ== in a lenient decoder.
    refused(after=cursor)


def test_a_binary_cursor() -> None:
    refused(after=b64encode(b"\xff\xfe").decode())


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("100", 100)])
def test_limits(text: str, limit: int) -> None:
    assert load_list(limit=text)["limit"] == limit


def test_twenty_is_the_default() -> None:
    assert load_list() == {"limit": 20}


@pytest.mark.parametrize("text", ["0", "101", "-1", "+1", "1.0", " 1", "²", "٣", "1" * 5000])
def test_bad_limits(text: str) -> None:
    refused(limit=text)


@pytest.mark.parametrize("text", ["0", str(LARGEST_ID + 1)])
def test_bad_users(text: str) -> None:
    refused(user_id=text)


@pytest.mark.parametrize(
    "text",
    ["Pending", "Processing", "Failed,Cancelled", "Completed,Pending", ",".join(OrderStatus)],
)
def test_statuses(text: str) -> None:
    assert load_list(status=text)["statuses"] == [OrderStatus(one) for one in text.split(",")]


@pytest.mark.parametrize(
    "text",
    ["pending", " Pending", "Pending,", ",", "Pending, Failed", "Failed,Failed", "Pending;Failed"],
)
def test_bad_statuses(text: str) -> None:
    refused(status=text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00"),
        ("2026-01-31T12:00:00.000001+01:00", "2026-01-31T11:00:00.000001"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert load_list(created_from=text)["created_from"].isoformat() == moment
    assert load_list(created_to=text)["created_to"].isoformat() == moment


@pytest.mark.parametrize(
    # A plus that was not escaped arrives as a space.
    "text",
    ["2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00 01:00", "2026-02-30T12:00:00Z", "1"],
)
def test_bad_moments(text: str) -> None:
    refused(created_from=text)
    refused(created_to=text)


@pytest.mark.parametrize("name", ["status", "user_id", "created_from", "limit", "after"])
def test_an_empty_parameter_is_refused(name: str) -> None:
    refused(**{name: ""})


@pytest.mark.parametrize("query", [{"x": "1"}, {"x": ""}, {"": ""}, {"": "1"}])
def test_a_query_without_parameters_takes_none(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        QuerySchema().load(query)
    assert caught.value.messages == {name: ["Unknown field."] for name in query}


@pytest.mark.parametrize("name", ["view", "before"])
def test_unknown_parameters(name: str) -> None:
    refused(**{name: "1"})


@pytest.mark.parametrize(
    ("query", "view"),
    [
        ({}, "status"),
        ({"view": "status"}, "status"),
        ({"view": "full"}, "full"),
    ],
)
def test_views(query: dict[str, str], view: str) -> None:
    assert ViewQuerySchema().load(query) == {"view": view}


@given(st.text())
def test_only_plain_digits_are_an_integer(text: str) -> None:
    number = parse_integer(text, LARGEST_ID)
    plain = text != "" and set(text) <= set("0123456789")
    if number is None:
        assert not plain or len(text) > 19 or int(text) > LARGEST_ID
    else:
        assert plain
        assert number == int(text) <= LARGEST_ID
