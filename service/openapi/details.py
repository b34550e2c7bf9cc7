"""What is said of an operation besides what the application and its schemas know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema

# What each operation that asks the database may answer.
DATABASE = ("overloaded", "unavailable")
BODY = (
    "malformed_body",
    "validation_failed",
    "body_too_large",
    "unsupported_media_type",
    "unsupported_content_coding",
)


@dataclass(frozen=True, slots=True)
class Details:
    """An operation: answers by status, and the codes of errors.

    `query` and `body` are schemas that validate. `extensions` go into the operation as they are.
    """

    tag: str
    responses: dict[str, Any]
    errors: tuple[str, ...] = ("validation_failed", *DATABASE)
    description: str = ""
    query: type[Schema] | None = None
    headers: tuple[Mapping[str, Any], ...] = ()
    body: type[Schema] | None = None
    body_examples: Mapping[str, Any] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)


def page_of(name: str, schema: type[Schema], example: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the schema and an example of a page of a list."""
    item = schema.__name__.removesuffix("Schema")
    properties = {
        name: {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}},
        "next": {
            "type": ["string", "null"],
            "description": "For `after`, to get the next page; null on the last one.",
        },
    }
    return answer_object(properties), {name: [example], "next": "NDI="}


def answer_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has all of these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
