"""The body of `POST /orders`, field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import ValidationError

from service.storage.orders import NewOrder
from service.web.schemas import NewOrderSchema

LARGEST_ID = 2**63 - 1
LARGEST_AMOUNT = Decimal("9999999999.99")
schema = NewOrderSchema()


def load(**fields: object) -> NewOrder:
    body: dict[str, Any] = {"order_id": 1, "user_id": 2, "item_ids": [3], "total_amount": 4}
    return NewOrder(**schema.load(body | fields))


def problem(**fields: object) -> str:
    """Return the one message about the one field."""
    with pytest.raises(ValidationError) as caught:
        load(**fields)
    assert isinstance(caught.value.messages, dict)
    [[name, [message]]] = caught.value.messages.items()
    assert name == next(iter(fields))
    assert isinstance(message, str)
    return message


def test_a_valid_order() -> None:
    order = load(order_id=1, user_id=2, item_ids=[3, 4], total_amount=Decimal("150.75"))
    assert order == NewOrder(1, 2, [3, 4], Decimal("150.75"))


@pytest.mark.parametrize("value", [1, 2**53 + 1, LARGEST_ID])
def test_ids(value: int) -> None:
    order = load(order_id=value, user_id=value)
    assert (order.order_id, order.user_id) == (value, value)


@pytest.mark.parametrize("value", [0, -1, LARGEST_ID + 1, 10**100])
def test_ids_out_of_range_are_told_the_range(value: int) -> None:
    assert f"1 to {LARGEST_ID}" in problem(order_id=value)
    assert problem(user_id=value)


@pytest.mark.parametrize("value", [True, 1.0, "1", Decimal(1), [1], {}, float("nan")])
def test_ids_that_are_no_integers(value: object) -> None:
    assert "integer" in problem(order_id=value)
    assert problem(user_id=value)


@pytest.mark.parametrize("field", ["order_id", "user_id", "item_ids", "total_amount"])
def test_null_is_refused(field: str) -> None:
    assert problem(**{field: None})


@pytest.mark.parametrize(
    "value", [[1], [LARGEST_ID], [3, 1, 2, 3, 1], list(range(1, 1001))], ids=len
)
def test_items(value: list[int]) -> None:
    assert load(item_ids=value).item_ids == value


@pytest.mark.parametrize("value", [[], list(range(1, 1002))], ids=["none", "1,001"])
def test_a_wrong_number_of_items(value: list[int]) -> None:
    assert "1 to 1000" in problem(item_ids=value)


@pytest.mark.parametrize("value", [{"0": 1}, "123", 1, True])
def test_items_that_are_no_list(value: object) -> None:
    assert "list" in problem(item_ids=value)


@pytest.mark.parametrize("bad", [0, LARGEST_ID + 1, True, Decimal(1), "1", None, [1]], ids=repr)
def test_one_bad_item_is_named(bad: object) -> None:
    assert problem(item_ids=[1, 2, bad, 4]).startswith("Item 2: ")


@pytest.mark.parametrize("position", [0, 999])
def test_every_item_is_looked_at(position: int) -> None:
    items = [1] * 1000
    items[position] = 0
    assert f"Item {position}: " in problem(item_ids=items)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (150, "150.00"),
        (Decimal("150.750"), "150.75"),
        (Decimal("1e2"), "100.00"),
        (Decimal("-0.0"), "0.00"),
        (Decimal("0e400"), "0.00"),
        (Decimal("0e-400"), "0.00"),
        (Decimal("0.01"), "0.01"),
        (Decimal("1." + "0" * 5000), "1.00"),
        (LARGEST_AMOUNT, "9999999999.99"),
    ],
)
def test_amounts(value: int | Decimal, stored: str) -> None:
    amount = load(total_amount=value).total_amount
    # The text tells -0 from 0, and shows that there are two decimals.
    assert str(amount) == stored


@pytest.mark.parametrize("text", ["0.001", "150.755", "0.009999", "9999999999.985", "1e-400"])
def test_fractions_of_a_cent_are_not_rounded(text: str) -> None:
    assert "two decimals" in problem(total_amount=Decimal(text))


@pytest.mark.parametrize(
    "text", ["-0.01", "-1e-9", "10000000000", "9999999999.991", "1e400", "1e999999999"]
)
def test_amounts_out_of_range_are_told_the_range(text: str) -> None:
    assert "0 to 9999999999.99" in problem(total_amount=Decimal(text))


def test_integers_out_of_range_are_so_too() -> None:
    for value in (-1, 10_000_000_000, 10**100):
        assert "0 to 9999999999.99" in problem(total_amount=value)


@pytest.mark.parametrize("value", [True, "1", 1.5, float("nan"), [1], {}])
def test_amounts_that_are_no_numbers(value: object) -> None:
    assert "number" in problem(total_amount=value)


@given(cents=st.integers(0, 999_999_999_999), zeros=st.integers(0, 30))
def test_every_number_of_cents_is_kept(cents: int, zeros: int) -> None:
    sent = Decimal(cents).scaleb(-2)
    amount = load(total_amount=Decimal(f"{sent}{'0' * zeros}")).total_amount
    assert amount == sent
    assert amount.as_tuple().exponent == -2


@given(amount=st.decimals(allow_nan=False, allow_infinity=False))
@example(amount=Decimal("9999999999.995"))
def test_anything_else_is_refused(amount: Decimal) -> None:
    numerator, denominator = amount.as_integer_ratio()
    whole_cents = numerator * 100 % denominator == 0
    if whole_cents and 0 <= amount <= LARGEST_AMOUNT:
        assert load(total_amount=amount).total_amount == amount
    else:
        assert problem(total_amount=amount)


@pytest.mark.parametrize("name", ["", "Order_id", "status", "_schema"])
def test_unknown_fields_are_refused(name: str) -> None:
    assert problem(**{name: 1}) == "Unknown field."
