"""What comes in and what goes out: marshmallow schemas of the HTTP API."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate
from werkzeug.datastructures import MultiDict

from service.storage.models import OrderStatus
from service.storage.moments import MICROSECONDS, format_moment

LARGEST_ID = 2**63 - 1
MOST_ITEMS = 1000
LARGEST_AMOUNT = Decimal("9999999999.99")
CENT = Decimal("0.01")
DEFAULT_LIMIT = 20
LARGEST_LIMIT = 100
INTEGER_ERROR = "Not a valid integer."
RANGE_ERROR = f"Must be from 1 to {LARGEST_ID}."


def _id_problem(value: object) -> str | None:
    # bool is a subclass of int, and is not an integer of JSON.
    if type(value) is not int:
        return INTEGER_ERROR
    return None if 1 <= value <= LARGEST_ID else RANGE_ERROR


class Id(fields.Field[int]):
    """A JSON integer from 1 to 2^63-1."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if problem := _id_problem(value):
            raise ValidationError(problem)
        return int(value)


class ItemIds(fields.Field[list[int]]):
    """A JSON array of 1 to 1,000 ids."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[int]:
        if not isinstance(value, list):
            raise ValidationError("Not a valid list.")
        if not 1 <= len(value) <= MOST_ITEMS:
            raise ValidationError(f"Must have from 1 to {MOST_ITEMS} items.")
        for position, item in enumerate(value):
            if problem := _id_problem(item):
                raise ValidationError(f"Item {position}: {problem}")
        return value


class Amount(fields.Field[Decimal]):
    """A JSON number from 0 to 9,999,999,999.99 that is a whole number of cents."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Decimal:
        if type(value) not in (int, Decimal):
            raise ValidationError("Not a valid number.")
        amount = Decimal(value)
        if not 0 <= amount <= LARGEST_AMOUNT:
            raise ValidationError(f"Must be from 0 to {LARGEST_AMOUNT}.")
        cents = amount.quantize(CENT)
        if cents != amount:
            raise ValidationError("Must have at most two decimals.")
        return abs(cents)  # of -0 as well


class NewOrderSchema(Schema):
    """The body of `POST /orders`."""

    order_id = Id(required=True)
    user_id = Id(required=True)
    item_ids = ItemIds(required=True)
    total_amount = Amount(required=True)


class Cursor(fields.Field[int]):
    """The opaque `next` of a page: where the list goes on."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        try:
            text = base64.b64decode(str(value).encode("ascii"), b"-_", validate=True)
            row_id = int(text.decode("ascii"))
        except (ValueError, binascii.Error):
            row_id = 0
        if not 1 <= row_id <= LARGEST_ID or encode_cursor(row_id) != value:
            raise ValidationError("Not a cursor; expected the `next` of an earlier answer.")
        return row_id


def encode_cursor(row_id: int) -> str:
    """Return the opaque text for a place in the list."""
    return base64.b64encode(str(row_id).encode("ascii"), b"-_").decode("ascii")


class QueryInteger(fields.Field[int]):
    """An integer within bounds, from a query string."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        number = parse_integer(value, self.high)
        if number is None or number < self.low:
            raise ValidationError(f"Must be an integer from {self.low} to {self.high}.")
        return number


def parse_integer(text: str, high: int) -> int | None:
    """Return the integer from 0 to `high` that plain digits spell, without leading zeros; or
    None."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(high))):
        return None
    if text[0] == "0" and text != "0":
        return None
    number = int(text)
    return number if number <= high else None


class QuerySchema(Schema):
    """A query string, as Werkzeug has it; an empty value counts as none."""

    @pre_load
    def take_single_values(self, data: Mapping[str, str], **_kwargs: Any) -> dict[str, str]:
        """Leave out parameters without a value; refuse those that are given twice."""
        repeated = [name for name, values in MultiDict(data).lists() if len(values) > 1]
        if repeated:
            raise ValidationError({name: ["Given more than once."] for name in repeated})
        return {name: value for name, value in data.items() if value}


class PageQuerySchema(QuerySchema):
    """The query string of a list without filters."""

    limit = QueryInteger(1, LARGEST_LIMIT, load_default=DEFAULT_LIMIT)
    after = Cursor(attribute="before")


class ListQuerySchema(PageQuerySchema):
    """The query string of `GET /orders`."""

    status = fields.String(validate=validate.OneOf([status.value for status in OrderStatus]))
    user_id = QueryInteger(1, LARGEST_ID)


class ViewQuerySchema(QuerySchema):
    """The query string of `GET /orders/<order_id>`."""

    view = fields.String(load_default="status", validate=validate.OneOf(["status", "full"]))


def format_optional(moment: datetime | None) -> str | None:
    """Format a moment that there may be none of."""
    return None if moment is None else format_moment(moment)


class FullOrderSchema(Schema):
    """A whole order, from a row of `service.storage.orders`."""

    order_id = fields.Raw()
    user_id = fields.Raw()
    item_ids = fields.Raw()
    total_amount = fields.Raw()
    status = fields.Raw()
    attempts = fields.Raw()
    created_at = fields.Function(lambda row: format_moment(row.created_at))
    updated_at = fields.Function(lambda row: format_moment(row.updated_at))
    next_attempt_at = fields.Function(lambda row: format_optional(row.next_attempt_at))
    processing_time_seconds = fields.Function(
        lambda row: (
            None
            if row.processing_microseconds is None
            else row.processing_microseconds / MICROSECONDS
        )
    )
    last_error = fields.Raw()


class StatisticsSchema(Schema):
    """The figures of `GET /metrics`, from `service.storage.statistics.Statistics`."""

    total_orders = fields.Raw(attribute="total")
    pending_orders = fields.Raw(attribute="pending")
    processing_orders = fields.Raw(attribute="processing")
    completed_orders = fields.Raw(attribute="completed")
    failed_orders = fields.Raw(attribute="failed")
    cancelled_orders = fields.Raw(attribute="cancelled")
    avg_processing_time_seconds = fields.Raw(attribute="average_processing_seconds")
