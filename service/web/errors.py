"""The one place where exceptions become JSON answers."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from service.storage.failures import OutcomeUnknown, describe, is_permanent, is_unavailable

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1
UNAVAILABLE = "The service cannot answer now. Try again later."
UNKNOWN = (
    "It is not known whether the order was stored: the database's answer was lost. Send it again,"
    " with the same Idempotency-Key if it had one; 409 means that it was."
)


class ApiError(Exception):
    """An answer with a status other than success."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers or {}


def error_response(status: int, error: object, headers: dict[str, str] | None = None) -> Response:
    """Return `{"error": …}` with this status."""
    response = jsonify({"error": error})
    response.status_code = status
    response.headers.update(headers or {})
    return response


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(ApiError, _answer_api_error)
    app.register_error_handler(ValidationError, _answer_validation_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(Exception, _answer_exception)


def _answer_api_error(error: ApiError) -> Response:
    return error_response(error.status, error.error, error.headers)


def _answer_validation_error(error: ValidationError) -> Response:
    # Its frames hold the whole body, in a cycle that only the garbage collector ends.
    error.__traceback__ = None
    return error_response(400, error.messages)


def _answer_http_exception(error: HTTPException) -> Response:
    headers = dict(error.get_headers())
    headers.pop("Content-Type", None)
    return error_response(error.code or 500, error.name, headers)


def _answer_exception(error: Exception) -> Response:
    return _answer_api_error(explain(error))


def explain(error: Exception) -> ApiError:
    """Return what is answered to an error that no view has thought of; log it."""
    if is_unavailable(error):
        # The driver's text is for the log alone: it may name hosts and users.
        log.warning("the database cannot serve: %s", describe(error))
        text = UNKNOWN if isinstance(error, OutcomeUnknown) else UNAVAILABLE
        return ApiError(503, text, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    if is_permanent(error):
        log.error("the database refuses this statement for good: %s", describe(error))
    else:
        log.error("unexpected error", exc_info=error)
    return ApiError(500, "Internal server error")
