"""What comes in and what goes out about processing: pauses, attempts and operations."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.storage.attempts import AttemptResult
from service.storage.operations import STATUSES, Action, OperationState
from service.storage.processing_state import SharedState
from service.web.fields import STATUS_NAMES, Count, Id, Moment, Stored, Switch, Text
from service.web.schemas import said

LONGEST_REASON = 1000
LONGEST_ERROR_PART = 200
ACTIONS = [action.value for action in Action]


class PauseSchema(Schema):
    """The body of `POST /processing/pause`."""

    reason = Text(LONGEST_REASON, required=True, metadata=said("Why, for others."))


class FilterSchema(Schema):
    """The `filter` of an operation; a field that is left out asks for nothing."""

    status = fields.String(
        validate=validate.OneOf(STATUS_NAMES),
        metadata=said("`Failed` or `Pending` for a retry, `Pending` for a cancel."),
    )
    user_id = Id(metadata=said("Only this user's orders."))
    created_from = Moment(metadata=said("Accepted at this moment or later."))
    created_to = Moment(metadata=said("Accepted before this moment."))
    error_contains = Text(
        LONGEST_ERROR_PART, metadata=said("Only orders whose `last_error` has this text in it.")
    )


class NewOperationSchema(Schema):
    """The body of `POST /operations`."""

    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))
    filter = fields.Nested(FilterSchema, required=True)
    new_key = Switch(
        load_default=False,
        metadata=said("Have retried orders call the handler with a new idempotency token."),
    )

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


class StoredFilter(Stored):
    """The filter of an operation, as it was sent."""


class OperationSchema(Schema):
    """An operation, from a row of `service.storage.operations`."""

    operation_id = Id(attribute="id")
    action = Stored(metadata={"type": "string", "enum": ACTIONS})
    filter = StoredFilter()
    new_key = Switch()
    state = Stored(metadata={"type": "string", "enum": [state.value for state in OperationState]})
    changed = Count(metadata=said("Orders that it has changed so far."))
    skipped = Count(metadata=said("Orders that matched, but could not be changed any more."))
    requested_by = Stored(metadata=said("Who asked for it.", type="string"))
    stopped_by = Stored(allow_none=True, metadata=said("Who stopped it.", type="string"))
    error = Stored(allow_none=True, metadata=said("Why it failed.", type="string"))
    created_at = Moment()
    updated_at = Moment()
    finished_at = Moment(allow_none=True)


class AttemptSchema(Schema):
    """An attempt, from a row of `service.storage.attempts`."""

    attempt = Count(metadata=said("Its number, from 1."))
    started_at = Moment()
    ended_at = Moment()
    result = Stored(metadata={"type": "string", "enum": [result.value for result in AttemptResult]})
    error = Stored(allow_none=True, metadata={"type": "string"})
    worker = Stored(
        allow_none=True,
        metadata=said("Host, process and claim; null where the order itself tells.", type="string"),
    )


class ReceiverSchema(Schema):
    """Whether the receiver is there, from a `service.storage.processing_state.SharedState`."""

    state = fields.Function(
        lambda state: "away" if state.away else "ok",
        metadata={"type": "string", "enum": ["ok", "away"]},
    )
    since = Moment(attribute="away_since", allow_none=True, metadata=said("Away since when."))
    until = Moment(
        attribute="away_until", allow_none=True, metadata=said("Until when it is left alone.")
    )


class ProcessingSchema(Schema):
    """The answer of `/processing`, from a `service.storage.processing_state.SharedState`."""

    paused = Switch()
    paused_by = Stored(allow_none=True, metadata={"type": "string"})
    paused_at = Moment(allow_none=True)
    reason = Stored(attribute="pause_reason", allow_none=True, metadata={"type": "string"})
    receiver = fields.Nested(ReceiverSchema)

    def get_attribute(self, obj: SharedState, attr: str, default: Any) -> Any:
        """Take the receiver's fields from the same state."""
        return obj if attr == "receiver" else super().get_attribute(obj, attr, default)
