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
from service.storage.order_lists import Wanted, list_page
from service.storage.orders import NewOrder
from service.telemetry import tracing
from service.web.auth import Forbidden, Scope, caller, needs
from service.web.body import json_object
from service.web.errors import ApiError
from service.web.fields import LARGEST_ID, encode_cursor, parse_integer
from service.web.processing_schemas import AttemptSchema
from service.web.schemas import FullOrderSchema, ListQuerySchema, NewOrderSchema, ViewQuerySchema
from service.web.strictness import protect, reads_query

blueprint = Blueprint("orders", __name__)
protect(blueprint)

_new_order = NewOrderSchema()
_full_order = FullOrderSchema()
_attempt = AttemptSchema()
_list_query = ListQuerySchema()
_view_query = ViewQuerySchema()


@blueprint.post("/orders")
@needs(Scope.ORDERS_WRITE)
def create_order() -> ResponseReturnValue:
    """Accept an order; the answer is sent after it is durable."""
    key = _idempotency_key()
    order = NewOrder(
        **_new_order.load(json_object()),
        client=caller().name,
        traceparent=tracing.current.get(),
    )
    g.order_id = order.order_id
    try:
        acceptance = runtime().acceptor.accept(order, key)
    except KeyReused:
        text = "This Idempotency-Key was used before with another payload."
        raise ApiError(422, text, code="idempotency_key_reused") from None
    headers = {"Idempotent-Replayed": "true"} if acceptance.replayed else {}
    if acceptance.status == DUPLICATE:
        text = "Duplicate order_id. This order already exists."
        raise ApiError(409, text, headers, code="duplicate_order")
    if not acceptance.replayed:
        runtime().wake_processor()
    headers["Location"] = f"/orders/{order.order_id}"
    return {"message": "Order received", "order_id": order.order_id}, 201, headers


@blueprint.get("/orders/<order_id>")
@needs(Scope.ORDERS_READ)
@reads_query
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
@reads_query
def list_orders() -> ResponseReturnValue:
    """Return a page of whole orders, newest first."""
    query = _list_query.load(request.args)
    limit = query.pop("limit")
    before = query.pop("before", None)
    wanted = Wanted(**query)
    page = runtime().read_several(lambda its: list_page(its, wanted, limit=limit, before=before))
    following = None if page.before is None else encode_cursor(page.before)
    return {"orders": _full_order.dump(page.rows, many=True), "next": following}


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
        text = f"The order is {status.value}; only a Pending one can be cancelled."
        raise ApiError(409, text, code="order_not_pending")
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
        text = "Idempotency-Key is not valid; expected one, of 1 to 255 printable ASCII characters."
        raise ApiError(400, text, code="invalid_idempotency_key")
    return key


def _not_found() -> ApiError:
    return ApiError(404, "Order not found", code="order_not_found")
