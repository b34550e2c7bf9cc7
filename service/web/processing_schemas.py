"""What comes in and what goes out about processing: pauses, attempts and operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.storage.models import OrderStatus
from service.storage.moments import parse_moment
from service.storage.operations import STATUSES, Action
from service.web.schemas import (
    Id,
    format_optional,
)

LONGEST_REASON = 1000
LONGEST_ERROR_PART = 200


class Moment(fields.Field[str]):
    """RFC 3339 text, kept as it was sent."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        try:
            parse_moment(str(value))
        except ValueError:
            raise ValidationError("Not a moment; expected one like 2026-01-31T12:00:00Z.") from None
        return str(value)


class Text(fields.String):
    """Text that every database can store, of 1 to `longest` characters."""

    def __init__(self, longest: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(1, longest), **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_unicode(text):
            raise ValidationError("Not valid Unicode: it has half a surrogate pair.")
        return text


class Switch(fields.Field[bool]):
    """`true` or `false`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not a valid boolean.")
        return value


def is_unicode(text: str) -> bool:
    """Return whether the text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class PauseSchema(Schema):
    """The body of `POST /processing/pause`."""

    reason = Text(LONGEST_REASON, required=True)


class FilterSchema(Schema):
    """The `filter` of an operation; a field that is left out asks for nothing."""

    status = fields.String(validate=validate.OneOf([status.value for status in OrderStatus]))
    user_id = Id()
    created_from = Moment()
    created_to = Moment()
    error_contains = Text(LONGEST_ERROR_PART)


class NewOperationSchema(Schema):
    """The body of `POST /operations`."""

    action = fields.String(required=True, validate=validate.OneOf([one.value for one in Action]))
    filter = fields.Nested(FilterSchema, required=True)
    new_key = Switch(load_default=False)

    @validates_schema
    def check_status(self, data: dict[str, Any], **_kwargs: Any) -> None:
        """Refuse a status that the action cannot be about, and a new key for cancelled orders."""
        action = Action(data["action"])
        allowed = [status.value for status in STATUSES[action]]
        if data["filter"].get("status", allowed[0]) not in allowed:
            problem = f"Must be one of: {', '.join(allowed)}, for {action.value}."
            raise ValidationError({"filter": {"status": [problem]}})
        if data["new_key"] and action is not Action.RETRY:
            raise ValidationError({"new_key": ["Only a retry can have a new key."]})


class OperationSchema(Schema):
    """An operation, from a row of `service.storage.operations`."""

    operation_id = fields.Raw(attribute="id")
    action = fields.Raw()
    filter = fields.Raw()
    new_key = fields.Function(lambda row: bool(row.new_key))
    state = fields.Raw()
    changed = fields.Raw()
    skipped = fields.Raw()
    requested_by = fields.Raw()
    stopped_by = fields.Raw()
    error = fields.Raw()
    created_at = fields.Function(lambda row: format_optional(row.created_at))
    updated_at = fields.Function(lambda row: format_optional(row.updated_at))
    finished_at = fields.Function(lambda row: format_optional(row.finished_at))


class AttemptSchema(Schema):
    """An attempt, from a row of `service.storage.attempts`."""

    attempt = fields.Raw()
    started_at = fields.Function(lambda row: format_optional(row.started_at))
    ended_at = fields.Function(lambda row: format_optional(row.ended_at))
    result = fields.Raw()
    error = fields.Raw()
    worker = fields.Raw()


class ReceiverSchema(Schema):
    """Whether the receiver is there."""

    state = fields.Function(lambda state: "away" if state.away else "ok")
    since = fields.Function(lambda state: format_optional(state.away_since))
    until = fields.Function(lambda state: format_optional(state.away_until))


class ProcessingSchema(Schema):
    """The answer of `/processing`, from a `service.storage.processing_state.SharedState`."""

    paused = fields.Raw()
    paused_by = fields.Raw()
    paused_at = fields.Function(lambda state: format_optional(state.paused_at))
    reason = fields.Raw(attribute="pause_reason")
    receiver = fields.Function(lambda state: ReceiverSchema().dump(state))
