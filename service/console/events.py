"""Events: what receivers are told, how their delivery goes, and sending them again."""

from __future__ import annotations

from flask import Response, request, url_for
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from service.console.filters import read_number
from service.console.notices import notice
from service.console.site import back_to, blueprint, page
from service.runtime import runtime
from service.storage import audit
from service.storage import events as dao
from service.storage.outbox import EventState
from service.web.auth import Scope, caller, needs
from service.web.errors import ApiError

PAGE = 50


@blueprint.get("/events")
@needs(Scope.ORDERS_READ)
def list_events() -> Response:
    """Show a page of events, newest first."""
    before, order_id = (read_number(request.args, name) for name in ("before", "order_id"))
    state = _state(request.args.get("state", ""))
    rows = runtime().read(
        lambda its: dao.list_events(
            its, limit=PAGE + 1, state=state, order_id=order_id, before=before
        )
    )
    listed = rows[:PAGE]
    chosen = {"state": state and state.value, "order_id": order_id}
    return page(
        "events.html",
        notice=notice(),
        events=listed,
        states=list(EventState),
        chosen=chosen,
        older=listed[-1].id if len(rows) > PAGE else None,
        first_page=before is None,
    )


@blueprint.post("/events/resend")
@needs(Scope.OPERATE)
def resend_events() -> AnyResponse:
    """Have the selected events delivered again."""
    texts = request.form.getlist("event_id")
    if len(texts) > PAGE:
        raise ApiError(400, f"event_id: expected at most {PAGE} of them.")
    numbers = [read_number({"event_id": text}, "event_id") for text in texts]
    ids = [one for one in numbers if one]
    if not ids:
        raise NotFound("No event was selected.")
    who = caller().name

    def work(connection: Connection) -> int:
        changed = dao.resend(connection, ids)
        if changed:
            subject = ", ".join(map(str, ids))
            audit.record(connection, who, audit.Act.EVENT_RESEND, subject, f"{changed} events")
        return changed

    changed = runtime().write(work)
    return back_to(url_for("console.list_events", done="resent", changed=changed))


def _state(text: str) -> EventState | None:
    if not text:
        return None
    if text not in list(EventState):
        raise ApiError(400, f"state: expected one of {', '.join(EventState)}.")
    return EventState(text)
