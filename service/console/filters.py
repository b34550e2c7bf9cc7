"""The filter of orders, as it stands in the address of a page and in its form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request

from service.storage.browsing import Search
from service.storage.models import OrderStatus
from service.storage.moments import parse_moment
from service.storage.operations import Action, NewOperation
from service.web.errors import ApiError
from service.web.fields import LARGEST_ID, parse_integer
from service.web.processing_schemas import LONGEST_ERROR_PART, NewOperationSchema

# What a browser's field for a moment sends: UTC is meant.
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
_WITHOUT_SECONDS = len("2026-01-31T12:00")
_new_operation = NewOperationSchema()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which orders are meant; None asks for nothing. Moments are RFC 3339."""

    status: OrderStatus | None = None
    user_id: int | None = None
    created_from: str | None = None
    created_to: str | None = None
    error: str | None = None

    @property
    def search(self) -> Search:
        """What the storage looks for."""
        return Search(
            self.status,
            self.user_id,
            _parsed(self.created_from),
            _parsed(self.created_to),
            self.error,
        )

    def __bool__(self) -> bool:
        return bool(self.arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of an address that has this filter."""
        found = {
            "status": self.status and self.status.value,
            "user_id": self.user_id,
            "from": self.created_from,
            "to": self.created_to,
            "error": self.error,
        }
        return {name: str(value) for name, value in found.items() if value is not None}

    def operation(self, action: Action, requested_by: str) -> NewOperation:
        """Return the operation for all orders that match, made as `POST /operations` makes it.

        Raises:
            ValidationError: the action cannot be about such orders.
        """
        values = {
            "status": self.status and self.status.value,
            "user_id": self.user_id,
            "created_from": self.created_from,
            "created_to": self.created_to,
            "error_contains": self.error,
        }
        given = {name: value for name, value in values.items() if value is not None}
        asked = _new_operation.load({"action": action.value, "filter": given})
        return NewOperation(action, asked["filter"], requested_by)


def read_filter(values: Mapping[str, str] | None = None) -> Filter:
    """Return the filter in the values, by default those of the request's address.

    Empty values ask for nothing.

    Raises:
        ApiError: 400 that names the value, and what was expected.
    """
    values = request.args if values is None else values
    given = {name: text.strip() for name, text in values.items() if text.strip()}
    return Filter(
        status=_status(given.get("status")),
        user_id=read_number(given, "user_id"),
        created_from=_moment(given, "from"),
        created_to=_moment(given, "to"),
        error=_error(values.get("error") or None),
    )


def read_number(values: Mapping[str, str], name: str) -> int | None:
    """Return the id, or the place in a list, that a value holds; None where there is none.

    Raises:
        ApiError: 400; it is no integer from 1 to 2^63-1.
    """
    text = values.get(name, "").strip()
    if not text:
        return None
    number = parse_integer(text, LARGEST_ID)
    if not number:
        raise ApiError(400, f"{name}: expected an integer from 1 to {LARGEST_ID}.")
    return number


def _status(text: str | None) -> OrderStatus | None:
    if text is None:
        return None
    try:
        return OrderStatus(text)
    except ValueError:
        raise ApiError(400, f"status: expected one of {', '.join(OrderStatus)}.") from None


def _moment(given: Mapping[str, Any], name: str) -> str | None:
    text = given.get(name)
    if text is None:
        return None
    if _WITHOUT_ZONE.fullmatch(text):
        text = f"{text}:00Z" if len(text) == _WITHOUT_SECONDS else f"{text}Z"
    try:
        # In UTC, as the form's fields have it.
        return f"{parse_moment(text).isoformat()}Z"
    except ValueError:
        raise ApiError(400, f"{name}: expected a moment like 2026-01-31T12:00:00Z.") from None


def _parsed(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text)


def _error(text: str | None) -> str | None:
    # A browser's form sends its lines as CR LF.
    text = text and text.replace("\r\n", "\n").replace("\r", "\n")
    if text is not None and len(text) > LONGEST_ERROR_PART:
        raise ApiError(400, f"error: expected at most {LONGEST_ERROR_PART} characters.")
    return text
