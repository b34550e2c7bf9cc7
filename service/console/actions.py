"""What is done to one order, or to those that were selected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import request, url_for
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from service.console.filters import read_filter, read_number
from service.console.site import back_to, blueprint
from service.runtime import runtime
from service.storage.browsing import PAGE
from service.storage.operations import Action
from service.storage.order_changes import OneChange, cancel_one, retry_one
from service.web.auth import Scope, caller, needs
from service.web.errors import ApiError

Changer = Callable[[Connection, int, str], OneChange | None]

CHANGERS: dict[Action, Changer] = {Action.RETRY: retry_one, Action.CANCEL: cancel_one}
DONE = {Action.RETRY: "retried", Action.CANCEL: "cancelled"}


@blueprint.post("/orders/<order_id>/<action>")
@needs(Scope.OPERATE)
def change_order(order_id: str, action: str) -> AnyResponse:
    """Retry or cancel one order."""
    number = read_number({"order_id": order_id}, "order_id")
    if number is None or action not in list(Action):
        raise NotFound
    done = _change([number], Action(action))
    return back_to(url_for("console.show_order", order_id=number, **done))


@blueprint.post("/orders/selected")
@needs(Scope.OPERATE)
def change_selected() -> AnyResponse:
    """Retry or cancel the orders that were selected on a page."""
    action = read_action(request.form.get("action", ""))
    texts = request.form.getlist("order_id")
    if len(texts) > PAGE:
        raise ApiError(400, f"order_id: expected at most {PAGE} of them.")
    numbers = [read_number({"order_id": text}, "order_id") for text in texts]
    done = _change([one for one in numbers if one], action) if texts else {"done": "nothing"}
    # Back to the list that has the same filter.
    arguments = read_filter(request.form).arguments | done
    return back_to(url_for("console.list_orders", **arguments))


def read_action(text: str) -> Action:
    """Return the action of this name.

    Raises:
        ApiError: 400; there is no such action.
    """
    if text not in list(Action):
        raise ApiError(400, f"action: expected one of {', '.join(Action)}.")
    return Action(text)


def _change(order_ids: list[int], action: Action) -> dict[str, Any]:
    """Change these orders, all in one transaction; return what the next page says of it."""
    who = caller().name

    def work(connection: Connection) -> list[OneChange]:
        # A page lists the newest first, and everybody locks the oldest first.
        found = [CHANGERS[action](connection, one, who) for one in reversed(order_ids)]
        if not any(found):
            raise NotFound("There is no such order.")
        return [one for one in found if one is not None]

    changes = runtime().write(work)
    changed = sum(one.changed for one in changes)
    if action is Action.RETRY and changed:
        runtime().wake_processor()
    return {
        "done": DONE[action],
        "changed": changed,
        "skipped": len(changes) - changed,
    }
