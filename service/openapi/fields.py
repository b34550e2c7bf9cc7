"""What the service's own fields are in JSON Schema."""

from __future__ import annotations

from typing import Any

from marshmallow.fields import Field

from service.web import fields, processing_schemas

Schema = dict[str, Any]

ID: Schema = {"type": "integer", "format": "int64", "minimum": 1, "maximum": fields.LARGEST_ID}
MOMENT: Schema = {"type": "string", "format": "date-time"}
STATUS: Schema = {"type": "string", "enum": fields.STATUS_NAMES}
CURSOR: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]+=*$"}
_MEANINGS: dict[type[Field[Any]], Schema] = {
    fields.Id: ID,
    fields.ItemIds: {"type": "array", "items": ID, "minItems": 1, "maxItems": fields.MOST_ITEMS},
    fields.Amount: {
        "type": "number",
        "minimum": 0,
        "maximum": fields.LARGEST_AMOUNT,
        "multipleOf": fields.CENT,
    },
    fields.Switch: {"type": "boolean"},
    fields.Moment: MOMENT,
    fields.QueryMoment: MOMENT,
    fields.Seconds: {"type": "number", "minimum": 0},
    fields.Count: {"type": "integer", "minimum": 0},
    fields.Cursor: CURSOR,
    fields.Statuses: {"type": "array", "items": STATUS, "minItems": 1, "uniqueItems": True},
    processing_schemas.StoredFilter: {"$ref": "#/components/schemas/Filter"},
}


def meaning(_converter: object, field: Field[Any], ret: Schema, **_options: object) -> Schema:
    """Return the properties of one of the service's fields: apispec asks for them."""
    found = dict(_MEANINGS.get(type(field), {}))
    if isinstance(field, fields.QueryInteger):
        found = {"type": "integer", "minimum": field.low, "maximum": field.high}
    kind = found.get("type") or ret.get("type")
    if field.allow_none and isinstance(kind, str):
        found["type"] = [kind, "null"]
    return found
