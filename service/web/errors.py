"""The one place where exceptions become answers: `{"error": …}`, or problem details (RFC 9457) for
clients that prefer them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from flask import Flask, Response, jsonify
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from service.storage.failures import (
    OutcomeUnknown,
    Overloaded,
    describe,
    is_permanent,
    is_unavailable,
)
from service.telemetry import request_id
from service.web.negotiation import prefers
from service.web.problems import MEDIA_TYPE, PROBLEMS, general_code

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1
UNAVAILABLE = "The service cannot answer now. Try again later."
UNKNOWN = (
    "It is not known whether the order was stored: the database's answer was lost. Send it again,"
    " with the same Idempotency-Key if it had one; 409 means that it was."
)


class ApiError(Exception):
    """An answer with a status other than success.

    `code` is one of `service.web.problems`, by default the general one of the status. `members` are
    what the answer says besides.
    """

    def __init__(
        self,
        status: int,
        error: str,
        headers: dict[str, str] | None = None,
        *,
        code: str | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers or {}
        self.code = code
        self.members = members or {}


def error_response(
    status: int,
    error: object,
    headers: dict[str, str] | None = None,
    *,
    code: str | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """Return the error in the form that the client prefers.

    Args:
        status: of HTTP.
        error: a text, or field names with lists of messages.
        headers: of the answer, besides the usual ones.
        code: as in `ApiError`.
        members: as in `ApiError`.
    """
    if prefers((MEDIA_TYPE,)):
        response = jsonify(_problem(status, error, code) | dict(members or {}))
        response.content_type = MEDIA_TYPE
    else:
        response = jsonify({"error": error} | dict(members or {}))
    response.status_code = status
    response.headers.update(headers or {})
    response.vary.add("Accept")
    return response


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(ApiError, _answer_api_error)
    app.register_error_handler(ValidationError, _answer_validation_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(Exception, _answer_exception)


def _problem(status: int, error: object, code: str | None) -> dict[str, object]:
    problem = PROBLEMS[code or general_code(status)]
    said: dict[str, object] = {"detail": error}
    if not isinstance(error, str):
        said = {"detail": "See errors, by field or parameter.", "errors": error}
    return {
        "type": f"/docs#{problem.code}",
        "title": problem.title,
        "status": status,
        "code": problem.code,
        **said,
        "request_id": request_id.current.get(),
    }


def _answer_api_error(error: ApiError) -> Response:
    return error_response(
        error.status, error.error, error.headers, code=error.code, members=error.members
    )


def _answer_validation_error(error: ValidationError) -> Response:
    # Its frames hold the whole body, in a cycle that only the garbage collector ends.
    error.__traceback__ = None
    return error_response(400, error.messages, code="validation_failed")


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
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return ApiError(503, text, headers, code=_code_of(error))
    if is_permanent(error):
        log.error("the database refuses this statement for good: %s", describe(error))
    else:
        log.error("unexpected error", exc_info=error)
    return ApiError(500, "Internal server error")


def _code_of(error: Exception) -> str:
    if isinstance(error, OutcomeUnknown):
        return "outcome_unknown"
    return "overloaded" if isinstance(error, Overloaded) else "unavailable"
