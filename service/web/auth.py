"""HTTP Basic authentication of every request but those to the public paths."""

from __future__ import annotations

import hmac

from flask import Flask, Response, request
from werkzeug.datastructures import Authorization

from service.config import Settings
from service.runtime import runtime
from service.web.errors import error_response

PUBLIC_PATHS = frozenset({"/ping", "/healthz", "/readyz"})
CHALLENGE = {"WWW-Authenticate": 'Basic realm="orders", charset="UTF-8"'}


def init_app(app: Flask) -> None:
    """Protect the whole application, unknown paths included."""
    app.before_request(require_authentication)


def require_authentication() -> Response | None:
    """Answer 401 unless the path is public or the credentials are right."""
    if request.path in PUBLIC_PATHS or _is_right(_credentials(), runtime().settings):
        return None
    return error_response(401, "Unauthorized access. Invalid credentials.", CHALLENGE)


def caller() -> str:
    """Return the name of who makes this request."""
    given = _credentials()
    return (given.username if given else None) or "unknown"


def _credentials() -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # they are not even ASCII
        return None


def _is_right(given: Authorization | None, settings: Settings) -> bool:
    """Compare all in constant time, and all always, so that time says nothing about any of them.

    While the password is being changed, the one before is right as well.
    """
    if given is None or given.type != "basic":
        return False
    name_matches = _equal(given.username, settings.auth_username)
    password_matches = _equal(given.password, settings.auth_password)
    if settings.auth_password_previous is not None:
        password_matches |= _equal(given.password, settings.auth_password_previous)
    return name_matches and password_matches


def _equal(given: str | None, expected: str) -> bool:
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), expected.encode())
