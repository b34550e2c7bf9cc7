"""`/processing`."""

from __future__ import annotations

from service.openapi.answers import answer
from service.openapi.details import BODY, DATABASE, Details
from service.web.processing_schemas import PauseSchema, ProcessingSchema, ReceiverSchema

ANSWERS = (ReceiverSchema, ProcessingSchema)
TAG = "Processing"
REF = {"$ref": "#/components/schemas/Processing"}
STATE = {
    "paused": False,
    "paused_by": None,
    "paused_at": None,
    "reason": None,
    "receiver": {"state": "ok", "since": None, "until": None},
}
PAUSED = STATE | {
    "paused": True,
    "paused_by": "anna",
    "paused_at": "2026-11-22T18:39:24.492919Z",
    "reason": "The warehouse moves.",
}
DETAILS = {
    "processing.show_processing": Details(
        TAG, {"200": answer("Whether it pauses, and the receiver.", REF, STATE)}
    ),
    "processing.pause_processing": Details(
        TAG,
        {"200": answer("It pauses.", REF, PAUSED)},
        (*BODY, *DATABASE),
        description="All processors of all hosts obey within 2 s. A pause that is there stays.",
        body=PauseSchema,
        body_examples={"pause": {"value": {"reason": "The warehouse moves."}}},
    ),
    "processing.resume_processing": Details(
        TAG,
        {"200": answer("It goes on.", REF, STATE)},
        description="All processors of all hosts obey within 2 s.",
    ),
}
