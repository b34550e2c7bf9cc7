"""What is refused before anything else looks at a request."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.exceptions import NotFound

from service.web.errors import ApiError


def init_app(app: Flask) -> None:
    """Register the checks."""
    app.before_request(_check_path)
    app.before_request(_check_host)


def _check_path() -> None:
    # Werkzeug takes the slashes for one, and a proxy that guards a path by its spelling does not.
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


def _check_host() -> None:
    # RFC 9112, section 3.2.
    if "HTTP_HOST" not in request.environ and request.environ["SERVER_PROTOCOL"] == "HTTP/1.1":
        raise ApiError(400, "There is no Host header; HTTP/1.1 requires one.")
