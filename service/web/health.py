"""`/ping`, `/healthz` and `/readyz`: public, for people, watchdogs and load balancers."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from service.runtime import runtime
from service.web.errors import ApiError
from service.web.readiness import find_problems

blueprint = Blueprint("health", __name__)


@blueprint.get("/ping")
def ping() -> ResponseReturnValue:
    """Answer, without touching the database."""
    return {"message": "success"}


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer while the process serves."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Answer 200 when everything that serving needs is there, else 503 naming what is not."""
    problems = find_problems(runtime())
    release = runtime().settings.release
    if problems:
        members = {"problems": problems, "release": release}
        raise ApiError(503, "Not ready", {"Retry-After": "1"}, code="not_ready", members=members)
    return {"status": "ready", "release": release}
