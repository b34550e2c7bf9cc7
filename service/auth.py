"""HTTP Basic authentication of every request but those to the public paths."""

from __future__ import annotations

import hmac

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_httpauth import HTTPBasicAuth

from service.runtime import runtime

PUBLIC_PATHS = frozenset({"/ping", "/healthz", "/readyz"})

auth = HTTPBasicAuth(realm="orders")


@auth.verify_password
def verify_password(username: str, password: str) -> bool:
    """Compare both in constant time, and both always, so that time tells nothing about either."""
    settings = runtime().settings
    name_matches = _equal(username, settings.auth_username)
    password_matches = _equal(password, settings.auth_password)
    return name_matches and password_matches


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


@auth.error_handler
def unauthorized(_status: int) -> ResponseReturnValue:
    """Answer 401, whatever was wrong."""
    return {"error": "Unauthorized access. Invalid credentials."}, 401


@auth.login_required
def _authenticate() -> None:
    return None


def require_authentication() -> ResponseReturnValue | None:
    """Answer 401 unless the path is public or the credentials are right."""
    if request.path in PUBLIC_PATHS:
        return None
    refusal: ResponseReturnValue | None = _authenticate()
    return refusal


def init_app(app: Flask) -> None:
    """Protect the whole application, unknown paths included."""
    app.before_request(require_authentication)
