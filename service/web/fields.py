"""The fields of the HTTP API's schemas: what values may be, on the way in and on the way out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from service.storage.models import OrderStatus
from service.storage.moments import MICROSECONDS, format_moment, parse_moment

LARGEST_ID = 2**63 - 1
MOST_ITEMS = 1000
LARGEST_AMOUNT = Decimal("9999999999.99")
CENT = Decimal("0.01")
INTEGER_ERROR = "Not a valid integer."
RANGE_ERROR = f"Must be from 1 to {LARGEST_ID}."
MOMENT_ERROR = "Not a moment; expected one like 2026-01-31T12:00:00Z."
STATUS_NAMES = [status.value for status in OrderStatus]

_Data = Mapping[str, Any] | None


def _id_problem(value: object) -> str | None:
    # bool is a subclass of int, and is not an integer of JSON.
    if type(value) is not int:
        return INTEGER_ERROR
    return None if 1 <= value <= LARGEST_ID else RANGE_ERROR


class Id(fields.Field[int]):
    """A JSON integer from 1 to 2^63-1."""

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> int:
        if problem := _id_problem(value):
            raise ValidationError(problem)
        return int(value)


class ItemIds(fields.Field[list[int]]):
    """A JSON array of 1 to 1,000 ids."""

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> list[int]:
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

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> Decimal:
        if type(value) not in (int, Decimal):
            raise ValidationError("Not a valid number.")
        amount = Decimal(value)
        if not 0 <= amount <= LARGEST_AMOUNT:
            raise ValidationError(f"Must be from 0 to {LARGEST_AMOUNT}.")
        cents = amount.quantize(CENT)
        if cents != amount:
            raise ValidationError("Must have at most two decimals.")
        return abs(cents)  # of -0 as well


class Text(fields.String):
    """Text that every database can store, of 1 to `longest` characters."""

    def __init__(self, longest: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(1, longest), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_unicode(text):
            raise ValidationError("Not valid Unicode: it has half a surrogate pair.")
        return text


def is_unicode(text: str) -> bool:
    """Return whether the text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Switch(fields.Field[bool]):
    """`true` or `false`."""

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not a valid boolean.")
        return value

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> bool:
        return bool(value)  # which a database may have as a number


class Moment(fields.Field[str]):
    """RFC 3339 text: kept as it was sent, and made of the moments that go out."""

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> str:
        _parse(value)
        return str(value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else format_moment(value)


class QueryMoment(fields.Field[datetime]):
    """A moment from a query string, as naive UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> datetime:
        return _parse(value)


def _parse(value: object) -> datetime:
    try:
        return parse_moment(str(value))
    except ValueError:
        raise ValidationError(MOMENT_ERROR) from None


class Seconds(fields.Field[float]):
    """Seconds, of the microseconds that are stored."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else value / MICROSECONDS


class Stored(fields.Field[Any]):
    """A value that goes out as it is stored; `metadata` says what it is."""


class Count(Stored):
    """A whole number from 0."""


class Cursor(fields.Field[int]):
    """The opaque `next` of a page: where the list goes on."""

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> int:
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

    def _deserialize(self, value: Any, attr: str | None, data: _Data, **kwargs: Any) -> int:
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


class Statuses(fields.Field[list[OrderStatus]]):
    """One or several statuses from a query string, separated by commas."""

    def _deserialize(
        self, value: Any, attr: str | None, data: _Data, **kwargs: Any
    ) -> list[OrderStatus]:
        names = str(value).split(",")
        if not set(names) <= set(STATUS_NAMES):
            expected = ", ".join(STATUS_NAMES)
            raise ValidationError(f"Must be one or several of these, with commas: {expected}.")
        if len(set(names)) < len(names):
            raise ValidationError("Names a status twice.")
        return [OrderStatus(name) for name in names]
