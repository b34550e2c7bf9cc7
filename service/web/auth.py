"""HTTP Basic authentication of every request but those to the public paths."""

from __future__ import annotations

import base64
import hmac
from functools import lru_cache

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_httpauth import HTTPBasicAuth
from werkzeug.datastructures import Authorization

from service.runtime import runtime

PUBLIC_PATHS = frozenset({"/ping", "/healthz", "/readyz"})


class BasicAuth(HTTPBasicAuth):
    """Takes credentials of the scheme Basic only, where the library takes any scheme's."""

    def get_auth(self) -> Authorization | None:
        """Return the request's credentials, or None."""
        try:
            given = request.authorization
        except ValueError:  # the credentials are not even ASCII
            return None
        return given if given is not None and given.type == "basic" else None


auth = BasicAuth(realm="orders")


@auth.verify_password
def verify_password(username: str, password: str) -> bool:
    """Compare all in constant time, and all always, so that time tells nothing about any of them.

    While the password is being changed, the one before is right as well.
    """
    settings = runtime().settings
    name_matches = _equal(username, settings.auth_username)
    password_matches = _equal(password, settings.auth_password)
    if settings.auth_password_previous is not None:
        password_matches |= _equal(password, settings.auth_password_previous)
    return name_matches and password_matches


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _is_usual_header() -> bool:
    # What nearly every client sends, compared as a whole; any other spelling is taken apart.
    given = request.environ.get("HTTP_AUTHORIZATION", "")
    settings = runtime().settings
    usual = _usual_header(settings.auth_username, settings.auth_password)
    return hmac.compare_digest(given.encode("utf-8", "replace"), usual)


@lru_cache(maxsize=1)
def _usual_header(username: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{username}:{password}".encode())


@auth.error_handler
def unauthorized(_status: int) -> ResponseReturnValue:
    """Answer 401, whatever was wrong."""
    return {"error": "Unauthorized access. Invalid credentials."}, 401


def require_authentication() -> ResponseReturnValue | None:
    """Answer 401 unless the path is public or the credentials are right."""
    if request.path in PUBLIC_PATHS or _is_usual_header():
        return None
    # Not by `login_required`, which lets OPTIONS pass.
    if auth.authenticate(auth.get_auth(), None):
        return None
    refusal: ResponseReturnValue = auth.auth_error_callback(401)
    return refusal


def init_app(app: Flask) -> None:
    """Protect the whole application, unknown paths included."""
    app.before_request(require_authentication)
