"""`/ping`, `/healthz` and `/readyz`: public, for people, watchdogs and load balancers."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from service.runtime import runtime
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
        body = {"error": "Not ready", "problems": problems, "release": release}
        return body, 503, {"Retry-After": "1"}
    return {"status": "ready", "release": release}
