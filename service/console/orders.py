"""Orders: by filter, the failed ones by error, and one with its attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from service.console.filters import Filter, read_filter, read_number
from service.console.notices import notice
from service.console.site import back_to, blueprint, page
from service.runtime import runtime
from service.storage import browsing, events
from service.storage.attempts import all_attempts
from service.storage.models import OrderStatus
from service.storage.operations import STATUSES, Action
from service.web.auth import Scope, needs
from service.web.errors import ApiError
from service.web.fields import LARGEST_ID, parse_integer

# Events of an order that its page shows.
MOST_EVENTS = 20


@blueprint.get("/orders")
@needs(Scope.ORDERS_READ)
def list_orders() -> Response:
    """Show a page of orders."""
    chosen = read_filter()
    before, after = (read_number(request.args, name) for name in ("before", "after"))
    if before is not None and after is not None:
        raise ApiError(400, "Expected one of before and after, not both.")
    found = runtime().read_several(
        lambda its: browsing.find_orders(its, chosen.search, before=before, after=after)
    )
    return page(
        "orders.html",
        notice=notice(),
        filter=chosen,
        found=found,
        statuses=list(OrderStatus),
        actions=actions_for(chosen),
        offered=[one for one in Action if chosen.status in (None, *STATUSES[one])],
    )


def actions_for(chosen: Filter) -> list[Action]:
    """Return what can be done to all orders that match."""
    return [action for action in Action if chosen.status in STATUSES[action]]


@blueprint.get("/failed")
@needs(Scope.ORDERS_READ)
def list_failed() -> Response:
    """Show the newest failed orders by their error."""
    groups = runtime().read(browsing.failed_by_error)
    return page("failed.html", groups=groups, newest=browsing.NEWEST_FAILED)


@blueprint.get("/go")
@needs(Scope.ORDERS_READ)
def go() -> AnyResponse:
    """Lead to the order whose id was typed."""
    number = read_number(request.args, "order_id")
    if number is None:
        return back_to(url_for("console.list_orders"))
    return back_to(url_for("console.show_order", order_id=number))


@blueprint.get("/orders/<order_id>")
@needs(Scope.ORDERS_READ)
def show_order(order_id: str) -> Response:
    """Show one order, what happened to it, and its attempts."""
    number = parse_integer(order_id, LARGEST_ID)
    read = runtime().read
    order = read(lambda its: browsing.get_details(its, number)) if number else None
    if order is None:
        raise NotFound(f"There is no order {order_id}.")
    attempts = read(lambda its: all_attempts(its, order))
    return page(
        "order.html",
        notice=notice(),
        order=order,
        attempts=attempts,
        timeline=timeline(order, attempts),
        events=read(
            lambda its: events.list_events(its, limit=MOST_EVENTS, order_id=order.order_id)
        ),
        can_retry=order.status == OrderStatus.FAILED or order.next_attempt_at is not None,
        can_cancel=order.status == OrderStatus.PENDING,
    )


def timeline(order: Any, attempts: Any) -> list[tuple[datetime, str]]:
    """Return what happened to an order, and when, in the order of time."""
    accepted = "accepted" + (f", from {order.client}" if order.client else "")
    found = [(order.created_at, accepted)]
    for attempt in attempts:
        found.append((attempt.started_at, f"attempt {attempt.attempt} began"))
        found.append((attempt.ended_at, f"attempt {attempt.attempt} ended: {attempt.result}"))
    if order.status == OrderStatus.PROCESSING:
        found.append((order.updated_at, f"attempt {order.attempts} began, and goes on"))
    elif order.status != OrderStatus.PENDING:
        found.append((order.updated_at, order.status))
    elif order.next_attempt_at is not None:
        found.append((order.next_attempt_at, "the next attempt is due"))
    return sorted(found, key=lambda one: one[0])
