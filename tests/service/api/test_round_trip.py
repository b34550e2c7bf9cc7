"""A valid order comes back exactly as it was sent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from service.models import Order
from tests.support.answers import json_of
from tests.support.inspection import Store

LARGEST_ID = 2**63 - 1
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


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sent=orders)
def test_every_field_comes_back(client: FlaskClient, store: Store, sent: dict[str, object]) -> None:
    store.run(lambda connection: connection.execute(delete(Order)))
    accept(client, "{" + ", ".join(f'"{name}": {value}' for name, value in sent.items()) + "}")
    order = json_of(client.get(f"/orders/{sent['order_id']}?view=full"))
    assert {name: order[name] for name in sent} == sent
    assert json_of(client.get(f"/orders?user_id={sent['user_id']}"))["orders"] == [order]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("150.75", "150.75"),
        ("150.750", "150.75"),
        ("150.75000000000000000000000000000000000000", "150.75"),
        ("0", "0"),
        ("0.0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e10", "0"),
        ("0.01", "0.01"),
        ("0.10", "0.1"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("1.5075e2", "150.75"),
        ("15075e-2", "150.75"),
        ("9999999999", "9999999999"),
        ("9999999999.99", "9999999999.99"),
        ("9.99999999999e9", "9999999999.99"),
        # The nearest floats to these are other amounts.
        ("9007199254.74", "9007199254.74"),
        ("1234567890.11", "1234567890.11"),
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


def test_items_keep_their_order_and_their_doubles(client: FlaskClient) -> None:
    accept(client, '{"order_id":1,"user_id":1,"item_ids":[3,1,3,2,1],"total_amount":1}')
    assert json_of(client.get("/orders/1?view=full"))["item_ids"] == [3, 1, 3, 2, 1]
