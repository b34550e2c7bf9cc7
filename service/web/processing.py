"""`/processing`: whether orders are processed, and a pause of that."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from service.runtime import runtime
from service.storage import processing_state
from service.web.auth import caller
from service.web.body import json_object
from service.web.processing_schemas import PauseSchema, ProcessingSchema

blueprint = Blueprint("processing", __name__)

_pause = PauseSchema()
_processing = ProcessingSchema()


@blueprint.get("/processing")
def show_processing() -> ResponseReturnValue:
    """Return whether processing pauses, and whether the receiver is away."""
    state = runtime().read(processing_state.read_state)
    answer: dict[str, object] = _processing.dump(state)
    return answer


@blueprint.post("/processing/pause")
def pause_processing() -> ResponseReturnValue:
    """Have all processors claim nothing more."""
    reason = _pause.load(json_object())["reason"]
    by = caller().name
    runtime().write(lambda connection: processing_state.pause(connection, by, reason))
    return show_processing()


@blueprint.post("/processing/resume")
def resume_processing() -> ResponseReturnValue:
    """Have all processors claim again, and try at once a receiver that was away."""
    runtime().write(processing_state.resume)
    runtime().wake_processor()
    return show_processing()
