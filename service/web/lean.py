"""Flask without what this API never uses: sessions, async views, routing by host, and headers that
are made at the last moment.

Each costs more than the routing of a request itself, on every request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter


class NoSession(SessionInterface):
    """No session is read, and none is written."""

    def open_session(self, _app: Flask, _request: Request) -> NullSession:
        """Return the session that refuses to be used."""
        return _NULL_SESSION

    def save_session(self, *_arguments: Any) -> None:
        """Do nothing."""


_NULL_SESSION = NullSession()


class LeanResponse(Response):
    """An answer whose headers are sent as they were set; `set_data` sets Content-Length."""

    def get_wsgi_headers(self, _environ: Any) -> Headers:
        """Return the headers: locations are plain ASCII here, and every answer has a body."""
        return self.headers


class LeanFlask(Flask):
    """A Flask application of plain functions, at whatever host it is reached."""

    response_class = LeanResponse
    session_interface = NoSession()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: all of them are synchronous."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match by path and method; the host plays no part, and no URL is ever built from one."""
        if request is None:
            return None
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name="/",
            subdomain="",
            url_scheme="http",
            path_info=request.path,
            default_method=request.method,
        )
