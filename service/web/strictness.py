"""What is refused before anything else looks at a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Flask, current_app, request
from werkzeug.exceptions import NotFound

from service.web.errors import ApiError
from service.web.origin import is_foreign_page
from service.web.schemas import QuerySchema

View = TypeVar("View", bound=Callable[..., Any])
_READS_QUERY = "reads_query"
_no_parameters = QuerySchema()


def init_app(app: Flask) -> None:
    """Register the checks."""
    app.before_request(_check_path)
    app.before_request(_check_host)


def protect(blueprint: Blueprint) -> None:
    """Have views of the blueprint refuse what another site's page has sent, and any query string,
    unless they `read_query`."""
    blueprint.before_request(_check_site)
    blueprint.before_request(_check_query)


def reads_query(view: View) -> View:
    """Mark a view that checks its query string itself."""
    setattr(view, _READS_QUERY, True)
    return view


def _check_path() -> None:
    # Werkzeug takes the slashes for one, and a proxy that guards a path by its spelling does not.
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


def _check_host() -> None:
    # RFC 9112, section 3.2.
    if "HTTP_HOST" not in request.environ and request.environ["SERVER_PROTOCOL"] == "HTTP/1.1":
        raise ApiError(400, "There is no Host header; HTTP/1.1 requires one.")


def _check_site() -> None:
    # A browser adds the credentials that it knows, whichever page asks.
    if request.method != "GET" and is_foreign_page():
        raise ApiError(403, "A page of another site must not do that.", code="foreign_site")


def _check_query() -> None:
    if request.query_string:
        view = current_app.view_functions[request.endpoint or ""]
        if not hasattr(view, _READS_QUERY):
            _no_parameters.load(request.args)
