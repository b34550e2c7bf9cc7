"""What comes in and what goes out about orders: marshmallow schemas of the HTTP API.

The descriptions are what `openapi.json` says of the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate
from werkzeug.datastructures import MultiDict

from service.web.fields import (
    LARGEST_ID,
    STATUS_NAMES,
    Amount,
    Count,
    Cursor,
    Id,
    ItemIds,
    Moment,
    QueryInteger,
    QueryMoment,
    Seconds,
    Statuses,
    Stored,
)

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 100


def said(description: str, **properties: object) -> dict[str, object]:
    """Return a field's metadata: its description, and properties of JSON Schema."""
    return {"description": description, **properties}


class NewOrderSchema(Schema):
    """The body of `POST /orders`."""

    order_id = Id(required=True, metadata=said("Your number for the order; no other order has it."))
    user_id = Id(required=True, metadata=said("Whose order it is."))
    item_ids = ItemIds(required=True, metadata=said("What is ordered."))
    total_amount = Amount(
        required=True, metadata=said("A decimal in whole cents. It is never rounded.")
    )


class QuerySchema(Schema):
    """A query string, as Werkzeug has it."""

    @pre_load
    def take_single_values(self, data: Mapping[str, str], **_kwargs: Any) -> dict[str, str]:
        """Refuse parameters that are given twice, or without a value."""
        problems = {}
        for name, values in MultiDict(data).lists():
            if len(values) > 1:
                problems[name] = ["Given more than once."]
            elif not values[0] and name in self.fields:
                problems[name] = ["Has no value; leave it out to ask for nothing."]
        if problems:
            raise ValidationError(problems)
        return dict(data.items())


class PageQuerySchema(QuerySchema):
    """The query string of a list without filters."""

    limit = QueryInteger(
        1,
        LARGEST_LIMIT,
        load_default=DEFAULT_LIMIT,
        metadata=said("At most so many.", example=50),
    )
    after = Cursor(
        attribute="before", metadata=said("The `next` of the page before, for the one that follows")
    )


class ListQuerySchema(PageQuerySchema):
    """The query string of `GET /orders`."""

    status = Statuses(
        attribute="statuses",
        metadata=said("Only orders with this status, or one of these: `Failed,Cancelled`."),
    )
    user_id = QueryInteger(1, LARGEST_ID, metadata=said("Only this user's orders."))
    created_from = QueryMoment(
        metadata=said("Only orders that were accepted at this moment or later. Write `+` as `%2B`.")
    )
    created_to = QueryMoment(metadata=said("Only orders that were accepted before this moment."))


class ViewQuerySchema(QuerySchema):
    """The query string of `GET /orders/<order_id>`."""

    view = fields.String(
        load_default="status",
        validate=validate.OneOf(["status", "full"]),
        metadata=said("`full` for the whole order."),
    )


class FullOrderSchema(Schema):
    """A whole order, from a row of `service.storage.orders`."""

    order_id = Id()
    user_id = Id()
    item_ids = ItemIds()
    total_amount = Amount()
    status = Stored(metadata={"type": "string", "enum": STATUS_NAMES})
    attempts = Count(metadata=said("Attempts that count, the running one included."))
    created_at = Moment(metadata=said("When it was accepted."))
    updated_at = Moment(metadata=said("When it changed last."))
    next_attempt_at = Moment(
        allow_none=True,
        metadata=said("When it gets its next attempt; null unless it waits for one."),
    )
    processing_time_seconds = Seconds(
        attribute="processing_microseconds",
        allow_none=True,
        metadata=said("What the handler took in the attempt that completed the order."),
    )
    last_error = Stored(
        allow_none=True,
        metadata=said("From the last attempt that failed.", type="string"),
    )


class StatisticsSchema(Schema):
    """The figures of `GET /metrics`, from `service.storage.statistics.Statistics`."""

    total_orders = Count(attribute="total", metadata=said("All orders, archived ones included."))
    pending_orders = Count(attribute="pending")
    processing_orders = Count(attribute="processing")
    completed_orders = Count(attribute="completed")
    failed_orders = Count(attribute="failed")
    cancelled_orders = Count(attribute="cancelled")
    avg_processing_time_seconds = Stored(
        attribute="average_processing_seconds",
        metadata=said("Mean time of the completed orders; 0 without any.", type="number"),
    )
