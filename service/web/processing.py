"""`/processing`: whether orders are processed, and a pause of that."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from service.runtime import runtime
from service.storage import processing_state
from service.web.auth import Scope, caller, needs
from service.web.body import json_object
from service.web.processing_schemas import PauseSchema, ProcessingSchema
from service.web.strictness import protect

blueprint = Blueprint("processing", __name__)
protect(blueprint)

_pause = PauseSchema()
_processing = ProcessingSchema()


@blueprint.get("/processing")
@needs(Scope.ORDERS_READ)
def show_processing() -> ResponseReturnValue:
    """Return whether processing pauses, and whether the receiver is away."""
    state = runtime().read(processing_state.read_state)
    answer: dict[str, object] = _processing.dump(state)
    return answer


@blueprint.post("/processing/pause")
@needs(Scope.OPERATE)
def pause_processing() -> ResponseReturnValue:
    """Have all processors claim nothing more."""
    reason = _pause.load(json_object())["reason"]
    by = caller().name
    runtime().write(lambda connection: processing_state.pause(connection, by, reason))
    return show_processing()


@blueprint.post("/processing/resume")
@needs(Scope.OPERATE)
def resume_processing() -> ResponseReturnValue:
    """Have all processors claim again, and try at once a receiver that was away."""
    by = caller().name
    runtime().write(lambda connection: processing_state.resume(connection, by))
    runtime().wake_processor()
    return show_processing()
