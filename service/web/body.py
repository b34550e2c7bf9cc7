"""Reads bodies: whole ones, of bounded size."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from gunicorn.http.errors import ParseException

from service.web.errors import ApiError

# Bytes.
LARGEST_BODY = 1024 * 1024


def json_object() -> dict[str, Any]:
    """Return the object that the request's body holds.

    Raises:
        ApiError: it is of another media type, or compressed (415), too large (413), cut off, not
            JSON, or not an object (400).
    """
    if request.mimetype != "application/json":
        raise ApiError(415, "Unsupported media type; expected Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(
            415,
            "Unsupported content coding; expected none.",
            {"Accept-Encoding": "identity"},
            code="unsupported_content_coding",
        )
    try:
        body = current_app.json.loads(read_whole(LARGEST_BODY))
    except ValueError:
        raise ApiError(400, "The body is not valid JSON.", code="malformed_body") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The body is not a JSON object.", code="malformed_body")
    return body


def read_whole(largest: int) -> bytes:
    """Return the request's body, of at most `largest` bytes.

    Raises:
        ApiError: it is larger (413), or was cut off (400).
    """
    # Not `request.get_data`, which takes what arrived for the whole: of a body that was cut off,
    # and of the first bytes of one in chunks that is too large.
    declared = request.content_length
    if declared is not None and declared > largest:
        raise _too_large(largest)
    size = largest + 1 if declared is None else declared
    try:
        data: bytes = request.environ["wsgi.input"].read(size)
    except (OSError, ParseException):
        raise _incomplete() from None
    if len(data) > largest:
        raise _too_large(largest)
    if declared is not None and len(data) < declared:
        raise _incomplete()
    return data


def _too_large(largest: int) -> ApiError:
    return ApiError(413, f"The body is too large; expected at most {largest} bytes.")


def _incomplete() -> ApiError:
    return ApiError(400, "The body is incomplete.", code="malformed_body")
