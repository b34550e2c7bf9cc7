"""Retry or cancel all orders that match a filter: what will happen, and the confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from service.console.actions import read_action
from service.console.filters import Filter, read_filter
from service.console.site import back_to, blueprint, page
from service.runtime import runtime
from service.storage import browsing, operations
from service.storage.operations import STATUSES, Action, NewOperation
from service.web.auth import Scope, caller, needs
from service.web.errors import ApiError

# Up to so many are counted, among so many orders that are looked at; in steps.
MOST_COUNTED, MOST_LOOKED_AT, STEP = 10_000, 20_000, 5_000
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Count:
    """How many orders match: exactly so many, or only `at_least`."""

    orders: int
    at_least: bool


@blueprint.get("/bulk")
@needs(Scope.OPERATE)
def ask_bulk() -> Response:
    """Show what will happen, and ask."""
    action, chosen, new = _read(request.args)
    examples = runtime().read_several(lambda its: browsing.find_orders(its, chosen.search)).orders
    return page(
        "bulk.html",
        action=action,
        filter=chosen,
        count=count(new),
        looked_at=MOST_LOOKED_AT,
        examples=examples[:EXAMPLES],
        back=url_for("console.list_orders", **chosen.arguments),
    )


@blueprint.post("/bulk")
@needs(Scope.OPERATE)
def begin_bulk() -> AnyResponse:
    """Begin the operation; the processors run it."""
    _, _, new = _read(request.form)
    number = runtime().write(lambda its: operations.insert_operation(its, new))
    runtime().wake_processor()
    return back_to(url_for("console.show_operation", operation_id=number))


def count(new: NewOperation) -> Count:
    """Count what an operation would change, in a bounded number of steps."""
    end = runtime().read(operations.newest_row)
    total, after = 0, 0

    def step(connection: Connection) -> tuple[int, int]:
        return operations.count_matching(connection, new, after, end, STEP)

    for _ in range(MOST_LOOKED_AT // STEP):
        found, after = runtime().read_several(step)
        total += found
        if not after:
            return Count(total, at_least=False)
        if total >= MOST_COUNTED:
            return Count(MOST_COUNTED, at_least=True)
    return Count(total, at_least=True)


def _read(values: dict[str, str]) -> tuple[Action, Filter, NewOperation]:
    action = read_action(values.get("action", ""))
    chosen = read_filter(values)
    if chosen.status not in STATUSES[action]:
        allowed = " or ".join(STATUSES[action])
        raise ApiError(400, f"status: expected {allowed}, to {action} all orders that match.")
    return action, chosen, chosen.operation(action, caller().name)
