"""Pause and resume."""

from __future__ import annotations

from flask import Response, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from service.console.site import back_to, blueprint, page
from service.runtime import runtime
from service.storage import processing_state
from service.storage.fleet import read_fleet
from service.web.auth import Scope, caller, needs
from service.web.errors import ApiError
from service.web.processing_schemas import LONGEST_REASON


@blueprint.get("/processing/pause")
@needs(Scope.OPERATE)
def ask_pause() -> Response:
    """Show what a pause does, and ask for its reason."""
    return page("pause.html", fleet=runtime().read(read_fleet), longest=LONGEST_REASON)


@blueprint.post("/processing/pause")
@needs(Scope.OPERATE)
def pause() -> AnyResponse:
    """Have all processors claim nothing more."""
    reason = request.form.get("reason", "").strip()
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise ApiError(400, f"reason: expected 1 to {LONGEST_REASON} characters.")
    by = caller().name
    runtime().write(lambda its: processing_state.pause(its, by, reason))
    return back_to(url_for("console.overview", done="paused"))


@blueprint.post("/processing/resume")
@needs(Scope.OPERATE)
def resume() -> AnyResponse:
    """Have all processors claim again."""
    by = caller().name
    runtime().write(lambda its: processing_state.resume(its, by))
    runtime().wake_processor()
    return back_to(url_for("console.overview", done="resumed"))
