"""`/orders`: accept, look up and list orders."""

from __future__ import annotations

from flask import Blueprint, g, jsonify, request
from flask.typing import ResponseReturnValue

from service.accepting.keyed import DUPLICATE, KeyReused, is_valid_key
from service.runtime import runtime
from service.storage import order_changes
from service.storage import orders as dao
from service.storage.attempts import all_attempts
from service.storage.models import OrderStatus
from service.storage.order_changes import PostedByAnother
from service.storage.orders import NewOrder
from service.telemetry import tracing
from service.web.auth import Forbidden, Scope, caller, needs
from service.web.body import json_object
from service.web.errors import ApiError
from service.web.processing_schemas import AttemptSchema
from service.web.schemas import (
    LARGEST_ID,
    FullOrderSchema,
    ListQuerySchema,
    NewOrderSchema,
    ViewQuerySchema,
    encode_cursor,
    parse_integer,
)

blueprint = Blueprint("orders", __name__)

_new_order = NewOrderSchema()
_full_order = FullOrderSchema()
_attempt = AttemptSchema()
_list_query = ListQuerySchema()
_view_query = ViewQuerySchema()


@blueprint.post("/orders")
@needs(Scope.ORDERS_WRITE)
def create_order() -> ResponseReturnValue:
    """Accept an order; the answer is sent after it is durable."""
    order = NewOrder(
        **_new_order.load(json_object()),
        client=caller().name,
        traceparent=tracing.current.get(),
    )
    g.order_id = order.order_id
    try:
        acceptance = runtime().acceptor.accept(order, _idempotency_key())
    except KeyReused:
        raise ApiError(422, "This Idempotency-Key was used before with another payload.") from None
    headers = {"Idempotent-Replayed": "true"} if acceptance.replayed else {}
    if acceptance.status == DUPLICATE:
        raise ApiError(409, "Duplicate order_id. This order already exists.", headers)
    if not acceptance.replayed:
        runtime().wake_processor()
    headers["Location"] = f"/orders/{order.order_id}"
    return {"message": "Order received", "order_id": order.order_id}, 201, headers


@blueprint.get("/orders/<order_id>")
@needs(Scope.ORDERS_READ)
def get_order(order_id: str) -> ResponseReturnValue:
    """Return an order's status, or the whole order with `?view=full`."""
    view = _view_query.load(request.args)["view"] if request.query_string else "status"
    number = _number(order_id)
    if view == "full":
        row = runtime().read(lambda connection: dao.get_order(connection, number))
        if row is None:
            raise _not_found()
        return jsonify(_full_order.dump(row))
    status = runtime().acceptor.status(number)
    if status is None:
        raise _not_found()
    return {"order_id": number, "status": status}


@blueprint.get("/orders")
@needs(Scope.ORDERS_READ)
def list_orders() -> ResponseReturnValue:
    """Return a page of whole orders, newest first."""
    query = _list_query.load(request.args)
    limit = query.pop("limit")
    if "status" in query:
        query["status"] = OrderStatus(query["status"])
    # One more than asked for says whether there is a next page.
    rows = runtime().read(lambda connection: dao.list_orders(connection, limit=limit + 1, **query))
    page = rows[:limit]
    following = encode_cursor(page[-1].id) if len(rows) > limit else None
    return {"orders": _full_order.dump(page, many=True), "next": following}


@blueprint.get("/orders/<order_id>/attempts")
@needs(Scope.ORDERS_READ)
def list_attempts(order_id: str) -> ResponseReturnValue:
    """Return the attempts at an order, oldest first."""
    number = _number(order_id)
    row = runtime().read(lambda connection: dao.get_order(connection, number))
    if row is None:
        raise _not_found()
    attempts = runtime().read(lambda connection: all_attempts(connection, row))
    return {"attempts": _attempt.dump(attempts, many=True)}


@blueprint.post("/orders/<order_id>/cancel")
@needs(Scope.ORDERS_WRITE, Scope.OPERATE)
def cancel_order(order_id: str) -> ResponseReturnValue:
    """Cancel an order on which nobody works yet; who does not operate, one of their own."""
    number = _number(order_id)
    who = caller()
    client = None if who.may(Scope.OPERATE) else who.name
    try:
        cancelled = runtime().write(
            lambda its: order_changes.cancel_one(its, number, who.name, client=client)
        )
    except PostedByAnother:
        raise Forbidden(Scope.OPERATE, what="The cancellation of another client's order") from None
    if cancelled is None:
        raise _not_found()
    status = cancelled.status
    if status is not OrderStatus.CANCELLED:
        raise ApiError(409, f"The order is {status.value}; only a Pending one can be cancelled.")
    return {"order_id": number, "status": status.value}


def _number(order_id: str) -> int:
    number = parse_integer(order_id, LARGEST_ID)
    if number is None:
        raise _not_found()
    g.order_id = number
    return number


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_valid_key(key):
        raise ApiError(400, "Idempotency-Key is not valid; expected 1 to 255 printable characters.")
    return key


def _not_found() -> ApiError:
    return ApiError(404, "Order not found")
