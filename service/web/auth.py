"""HTTP Basic authentication of every request but those to the public paths, and who may do what."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from flask import Flask, Request, g, request
from werkzeug.datastructures import Authorization

from service.clients import Caller, Clients
from service.runtime import runtime
from service.storage.clients import Scope
from service.web.errors import ApiError

__all__ = [
    "PUBLIC_PATHS",
    "Caller",
    "Forbidden",
    "NotAuthenticated",
    "Scope",
    "authenticate",
    "caller",
    "init_app",
    "needs",
    "scopes_of",
]

P = ParamSpec("P")
T = TypeVar("T")

PUBLIC_PATHS = frozenset({"/ping", "/healthz", "/readyz", "/openapi.json", "/docs"})
CHALLENGE = {"WWW-Authenticate": 'Basic realm="orders", charset="UTF-8"'}
_SCOPES = "needed_scopes"


class NotAuthenticated(ApiError):
    """401: there are no credentials, or wrong ones. A blueprint may answer to it in its own way."""

    def __init__(self) -> None:
        super().__init__(401, "Unauthorized access. Invalid credentials.", CHALLENGE)


class Forbidden(ApiError):
    """403: the caller has none of the scopes. A blueprint may answer to it in its own way."""

    def __init__(self, *scopes: Scope, what: str = "This") -> None:
        self.scopes = scopes
        super().__init__(403, f"{what} needs the scope {' or '.join(scopes)}.")


def init_app(app: Flask) -> None:
    """Protect the whole application, unknown paths included."""
    app.before_request(_require_authentication)


def authenticate(asked: Request) -> Caller | None:
    """Return who makes the request, or None without credentials that are right."""
    header = asked.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    clients = runtime().clients
    return clients.remembered(header) or _find(clients, header)


def caller() -> Caller:
    """Return who makes this request; on a public path nobody does."""
    return cast("Caller", g.caller)


def needs(*scopes: Scope) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a view answer 403 to callers who may do none of these; below the route's decorator.

    Who may `operate` may read as well, but not post orders.
    """

    def decorate(view: Callable[P, T]) -> Callable[P, T]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if not any(map(caller().may, scopes)):
                raise Forbidden(*scopes)
            return view(*args, **kwargs)

        setattr(checked, _SCOPES, scopes)
        return checked

    return decorate


def scopes_of(view: Callable[..., Any]) -> tuple[Scope, ...]:
    """Return the scopes of which a view needs one; none if it does not ask."""
    return getattr(view, _SCOPES, ())


def _require_authentication() -> None:
    if request.path in PUBLIC_PATHS:
        return
    found = authenticate(request)
    if found is None:
        raise NotAuthenticated
    g.caller = found


def _find(clients: Clients, header: str) -> Caller | None:
    try:
        given = Authorization.from_header(header)
    except ValueError:  # they are not even ASCII
        return None
    if given is None or given.type != "basic" or not given.username or given.password is None:
        return None
    return clients.find(given.username, given.password, header)
