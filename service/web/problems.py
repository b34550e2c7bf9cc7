"""The codes of errors, which stay the same whatever the texts say, and what each means."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of error: its code, its status, and a sentence for people."""

    code: str
    status: int
    title: str


PROBLEMS = {
    problem.code: problem
    for problem in (
        Problem("bad_request", 400, "The request is not valid."),
        Problem("malformed_body", 400, "The body is not a JSON object, or it was cut off."),
        Problem("validation_failed", 400, "Some fields or parameters are not valid."),
        Problem("invalid_idempotency_key", 400, "The Idempotency-Key is not valid."),
        Problem("unauthorized", 401, "There are no credentials, or they are wrong."),
        Problem("insufficient_scope", 403, "The credentials lack the scope for this."),
        Problem("foreign_site", 403, "A page of another site has sent this."),
        Problem("not_found", 404, "There is nothing at this address."),
        Problem("order_not_found", 404, "There is no such order."),
        Problem("operation_not_found", 404, "There is no such operation."),
        Problem("method_not_allowed", 405, "The address does not have this method."),
        Problem("duplicate_order", 409, "An order with this order_id exists already."),
        Problem("order_not_pending", 409, "The order is in work, or finished."),
        Problem("body_too_large", 413, "The body is too large."),
        Problem("unsupported_media_type", 415, "The body is not application/json."),
        Problem("unsupported_content_coding", 415, "The body is compressed."),
        Problem("idempotency_key_reused", 422, "The key belongs to another payload."),
        Problem("internal_error", 500, "The service has a fault."),
        Problem("unavailable", 503, "The database cannot serve now. Try again later."),
        Problem("overloaded", 503, "Too many requests wait. Try again later."),
        Problem("outcome_unknown", 503, "It is not known whether the order was stored."),
        Problem("not_ready", 503, "The service is not ready to serve."),
    )
}
# For errors that name no code: the first of a status is its general one.
_GENERAL = {problem.status: problem.code for problem in reversed(PROBLEMS.values())}


def general_code(status: int) -> str:
    """Return the code of an error of which only the status is known."""
    if status in _GENERAL:
        return _GENERAL[status]
    return "internal_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
