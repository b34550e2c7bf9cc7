"""Answers: their headers, and errors in both of their forms."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from apispec import APISpec

from service.openapi.fields import Schema
from service.web.auth import CHALLENGE
from service.web.errors import UNAVAILABLE, UNKNOWN
from service.web.fields import RANGE_ERROR
from service.web.problems import MEDIA_TYPE, PROBLEMS

JSON = "application/json"
EXAMPLE_ID = "6c08b829712a4e0e97bed629d2c25626"
HEADERS: dict[str, Schema] = {
    "X-Request-ID": {
        "description": "The request's own, if it was sane, else a new one. It is in the log.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:/+=@-]{1,128}$"},
        "example": EXAMPLE_ID,
    },
    "Location": {
        "description": "Where the new thing is.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/orders/123",
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "example": "1",
    },
    "Idempotent-Replayed": {
        "description": "Only there when this is the first answer to the same key again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"type": "string"},
        "example": CHALLENGE["WWW-Authenticate"],
    },
    "Accept-Encoding": {
        "description": "Only there when a content coding was the reason.",
        "schema": {"type": "string", "enum": ["identity"]},
    },
    "Vary": {
        "description": "The form of the answer depends on the request's `Accept`.",
        "schema": {"type": "string"},
        "example": "Accept",
    },
}
# Those that an answer always has.
ALWAYS = frozenset(HEADERS) - {"Idempotent-Replayed", "Accept-Encoding"}
_OF_STATUS = {
    401: ("WWW-Authenticate",),
    409: ("Idempotent-Replayed",),
    415: ("Accept-Encoding",),
    503: ("Retry-After",),
}
# What is said of each code: a text, or names with lists of messages.
TEXTS: dict[str, object] = {
    "bad_request": "There is no Host header; HTTP/1.1 requires one.",
    "malformed_body": "The body is not valid JSON.",
    "validation_failed": {"user_id": [RANGE_ERROR]},
    "invalid_idempotency_key": (
        "Idempotency-Key is not valid; expected one, of 1 to 255 printable ASCII characters."
    ),
    "unauthorized": "Unauthorized access. Invalid credentials.",
    "insufficient_scope": "This needs the scope operate.",
    "foreign_site": "A page of another site must not do that.",
    "not_found": "Not Found",
    "order_not_found": "Order not found",
    "operation_not_found": "Operation not found",
    "method_not_allowed": "Method Not Allowed",
    "duplicate_order": "Duplicate order_id. This order already exists.",
    "order_not_pending": "The order is Processing; only a Pending one can be cancelled.",
    "body_too_large": "The body is too large; expected at most 1048576 bytes.",
    "unsupported_media_type": "Unsupported media type; expected Content-Type: application/json.",
    "unsupported_content_coding": "Unsupported content coding; expected none.",
    "idempotency_key_reused": "This Idempotency-Key was used before with another payload.",
    "internal_error": "Internal server error",
    "unavailable": UNAVAILABLE,
    "overloaded": UNAVAILABLE,
    "outcome_unknown": UNKNOWN,
    "not_ready": "Not ready",
}
MEMBERS = {"not_ready": {"problems": {"database": "does not answer"}, "release": "1.4.0"}}
_FIELDS: Schema = {
    "description": "By field or parameter, what is wrong with it; nested as the body is.",
    "type": "object",
    "additionalProperties": True,
    "minProperties": 1,
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"oneOf": [{"type": "string", "minLength": 1}, _FIELDS]}},
}
PROBLEM: Schema = {
    "type": "object",
    "description": "Problem details of RFC 9457, with a `code` that stays the same.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "enum": list(PROBLEMS)},
        "detail": {"type": "string"},
        "errors": _FIELDS,
        "request_id": {"type": "string"},
    },
}


def add_components(spec: APISpec) -> None:
    """Add what all answers share."""
    for name, header in HEADERS.items():
        spec.components.header(name, header | {"required": True} if name in ALWAYS else header)
    spec.components.schema("Error", ERROR)
    spec.components.schema("Problem", PROBLEM)
    spec.components.security_scheme("basic", {"type": "http", "scheme": "basic"})


def answer(
    description: str,
    schema: object,
    example: object,
    *headers: str,
    **more_content: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a response with JSON, and with those headers besides the one that all have."""
    content = {JSON: {"schema": schema, "example": example}, **more_content}
    return response(description, content, *headers)


def response(description: str, content: Mapping[str, Any], *headers: str) -> dict[str, Any]:
    """Return a response with this content."""
    return {
        "description": description,
        "headers": {name: _ref("headers", name) for name in ("X-Request-ID", *headers)},
        "content": dict(content),
    }


def errors(spec: APISpec, *codes: str) -> dict[str, Any]:
    """Return the responses for these codes, by status. What is shared is a component."""
    responses = {}
    for status in sorted({PROBLEMS[code].status for code in codes}):
        of_status = [code for code in codes if PROBLEMS[code].status == status]
        name = ".".join(of_status)
        if name not in spec.components.responses:
            spec.components.response(name, _error_response(status, of_status))
        responses[str(status)] = _ref("responses", name)
    return responses


def error_example(code: str) -> dict[str, object]:
    """Return the plain form of an error."""
    return {"error": TEXTS[code], **MEMBERS.get(code, {})}


def problem_example(code: str) -> dict[str, object]:
    """Return the form of RFC 9457."""
    problem, text = PROBLEMS[code], TEXTS[code]
    said = {"detail": text}
    if not isinstance(text, str):
        said = {"detail": "See errors, by field or parameter.", "errors": text}
    return {
        "type": f"/docs#{code}",
        "title": problem.title,
        "status": problem.status,
        "code": code,
        **said,
        "request_id": EXAMPLE_ID,
        **MEMBERS.get(code, {}),
    }


def _error_response(status: int, codes: list[str]) -> dict[str, Any]:
    description = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}."
    forms = ((JSON, "Error", error_example), (MEDIA_TYPE, "Problem", problem_example))
    content = {
        media_type: {
            "schema": _ref("schemas", name),
            "examples": {code: {"value": example(code)} for code in codes},
        }
        for media_type, name, example in forms
    }
    return response(description, content, "Vary", *_OF_STATUS.get(status, ()))


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
