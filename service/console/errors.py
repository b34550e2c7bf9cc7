"""Errors as pages: whatever goes wrong below `/console`."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, NotFound

from service.console.site import blueprint, page
from service.web.auth import NotAuthenticated, Scope, needs
from service.web.errors import ApiError, explain

CHALLENGE = {"WWW-Authenticate": 'Basic realm="console", charset="UTF-8"'}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@blueprint.route("/<path:_rest>", methods=METHODS)
@needs(*Scope)
def no_such_page(_rest: str) -> Response:
    """Answer 404 to what is no page, with a page."""
    raise NotFound


@blueprint.errorhandler(NotAuthenticated)
def _challenge(error: NotAuthenticated) -> Response:
    return _error_page(error.status, "Log in with the name and the secret of a client.", CHALLENGE)


@blueprint.errorhandler(ApiError)
def _answer_api_error(error: ApiError) -> Response:
    return _error_page(error.status, error.error, error.headers)


@blueprint.errorhandler(ValidationError)
def _answer_validation_error(error: ValidationError) -> Response:
    return _error_page(400, f"Not valid: {error}")


@blueprint.errorhandler(HTTPException)
def _answer_http_exception(error: HTTPException) -> Response:
    headers = dict(error.get_headers())
    headers.pop("Content-Type", None)
    return _error_page(error.code or 500, error.description or error.name, headers)


@blueprint.errorhandler(Exception)
def _answer_exception(error: Exception) -> Response:
    return _answer_api_error(explain(error))


def _error_page(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    response = page("error.html", status, code=status, title=HTTPStatus(status).phrase, text=text)
    response.headers.update(headers or {})
    return response
