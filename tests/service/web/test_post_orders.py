"""`POST /orders`: what is answered, and that the order is stored exactly as it was sent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

LARGEST_ID = 2**63 - 1
MEBIBYTE = 1024 * 1024
BODY = b'{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}'
ids = st.integers(1, LARGEST_ID) | st.just(LARGEST_ID)
amounts = st.integers(0, 999_999_999_999).map(lambda cents: Decimal(cents).scaleb(-2))
orders = st.fixed_dictionaries(
    {
        "order_id": ids,
        "user_id": ids,
        "item_ids": st.lists(ids, min_size=1, max_size=50),
        "total_amount": amounts,
    }
)


def accept(client: FlaskClient, body: str) -> None:
    answer = client.post("/orders", data=body, content_type="application/json")
    assert answer.status_code == 201, answer.text


def test_accepts_an_order(client: FlaskClient) -> None:
    answer = client.post("/orders", json=order_body(123))
    assert answer.status_code == 201
    assert json_of(answer) == {"message": "Order received", "order_id": 123}
    assert answer.headers["Location"] == "/orders/123"
    assert json_of(client.get("/orders/123")) == {"order_id": 123, "status": "Pending"}


def test_has_stored_the_order_when_it_answers(client: FlaskClient, store: Store) -> None:
    client.post("/orders", json=order_body(123))
    row = store.order(123)
    assert (row.user_id, row.item_ids, row.total_amount) == (456, [1, 2, 3], Decimal("150.75"))


def test_refuses_a_duplicate(client: FlaskClient) -> None:
    client.post("/orders", json=order_body(123))
    answer = client.post("/orders", json=order_body(123, user_id=9))
    assert error_of(answer, 409) == "Duplicate order_id. This order already exists."
    assert json_of(client.get("/orders/123?view=full"))["user_id"] == 456


@settings(max_examples=30)
@given(sent=orders)
def test_every_field_comes_back(client: FlaskClient, store: Store, sent: dict[str, object]) -> None:
    store.empty()
    accept(client, "{" + ", ".join(f'"{name}": {value}' for name, value in sent.items()) + "}")
    order = json_of(client.get(f"/orders/{sent['order_id']}?view=full"))
    assert {name: order[name] for name in sent} == sent
    assert json_of(client.get(f"/orders?user_id={sent['user_id']}"))["orders"] == [order]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("-0.0", "0"),
        ("1.5075e2", "150.75"),
        ("9999999999.99", "9999999999.99"),
        # The nearest float is another amount.
        ("9007199254.74", "9007199254.74"),
    ],
)
def test_amounts_stay_decimals(client: FlaskClient, store: Store, sent: str, stored: str) -> None:
    accept(client, f'{{"order_id": 1, "user_id": 1, "item_ids": [1], "total_amount": {sent}}}')
    assert store.order(1).total_amount == Decimal(stored)
    answer = client.get("/orders/1?view=full")
    assert json_of(answer)["total_amount"] == Decimal(stored)
    assert '"total_amount":-' not in answer.text


def test_a_thousand_items(client: FlaskClient) -> None:
    items = list(range(LARGEST_ID - 999, LARGEST_ID + 1))
    accept(client, f'{{"order_id": 1, "user_id": 1, "item_ids": {items}, "total_amount": 1}}')
    assert json_of(client.get("/orders/1?view=full"))["item_ids"] == items


@ONLY_SQLITE
@pytest.mark.parametrize("field", ["order_id", "user_id", "item_ids", "total_amount"])
def test_names_a_missing_field(client: FlaskClient, field: str) -> None:
    body = order_body(123)
    del body[field]
    error = error_of(client.post("/orders", json=body), 400)
    assert error == {field: ["Missing data for required field."]}


@ONLY_SQLITE
def test_names_all_problems_at_once(client: FlaskClient) -> None:
    error = error_of(client.post("/orders", json={"order_id": 0, "colour": "red"}), 400)
    assert set(error) == {"order_id", "user_id", "item_ids", "total_amount", "colour"}
    assert all(isinstance(message, str) for messages in error.values() for message in messages)


@ONLY_SQLITE
@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"]
)
def test_json_content_types(client: FlaskClient, content_type: str) -> None:
    assert client.post("/orders", data=BODY, content_type=content_type).status_code == 201


@ONLY_SQLITE
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "json", ""],
)
def test_another_content_type(client: FlaskClient, store: Store, content_type: str) -> None:
    answer = client.post("/orders", data=BODY, content_type=content_type)
    assert isinstance(error_of(answer, 415), str)
    assert store.statuses() == {}


@ONLY_SQLITE
def test_a_body_of_one_mebibyte_is_read_and_no_larger_one(
    client: FlaskClient, store: Store
) -> None:
    too_large = BODY.ljust(MEBIBYTE + 1)
    answer = client.post("/orders", data=too_large, content_type="application/json")
    assert isinstance(error_of(answer, 413), str)
    assert store.statuses() == {}
    answer = client.post("/orders", data=BODY.ljust(MEBIBYTE), content_type="application/json")
    assert answer.status_code == 201
