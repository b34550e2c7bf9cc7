"""`/operations`: retries and cancellations of all orders that match a filter."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, Row

from service.runtime import runtime
from service.storage import operations as dao
from service.storage.operations import Action, NewOperation
from service.web.auth import Scope, caller, needs
from service.web.body import json_object
from service.web.errors import ApiError
from service.web.fields import LARGEST_ID, encode_cursor, parse_integer
from service.web.processing_schemas import NewOperationSchema, OperationSchema
from service.web.schemas import PageQuerySchema
from service.web.strictness import protect, reads_query

blueprint = Blueprint("operations", __name__)
protect(blueprint)

_new_operation = NewOperationSchema()
_operation = OperationSchema()
_page_query = PageQuerySchema()


@blueprint.post("/operations")
@needs(Scope.OPERATE)
def create_operation() -> ResponseReturnValue:
    """Begin an operation; it runs in the processors."""
    asked = _new_operation.load(json_object())
    new = NewOperation(Action(asked["action"]), asked["filter"], caller().name, asked["new_key"])

    # In one transaction: nobody is told of a failure while it runs.
    def begin(connection: Connection) -> Row[*tuple[Any, ...]] | None:
        return dao.get_operation(connection, dao.insert_operation(connection, new))

    begun = _shown(runtime().write(begin))
    return begun, 202, {"Location": f"/operations/{begun['operation_id']}"}


@blueprint.get("/operations")
@needs(Scope.OPERATE)
@reads_query
def list_operations() -> ResponseReturnValue:
    """Return a page of operations, newest first."""
    query = _page_query.load(request.args)
    limit = query.pop("limit")
    rows = runtime().read(
        lambda connection: dao.list_operations(connection, limit=limit + 1, **query)
    )
    page = rows[:limit]
    following = encode_cursor(page[-1].id) if len(rows) > limit else None
    return {"operations": _operation.dump(page, many=True), "next": following}


@blueprint.get("/operations/<operation_id>")
@needs(Scope.OPERATE)
def get_operation(operation_id: str) -> ResponseReturnValue:
    """Return an operation and its progress."""
    return _show(_number(operation_id))


@blueprint.post("/operations/<operation_id>/stop")
@needs(Scope.OPERATE)
def stop_operation(operation_id: str) -> ResponseReturnValue:
    """Stop an operation where it is; what it has changed stays."""
    number = _number(operation_id)
    by = caller().name

    def stop(connection: Connection) -> Row[*tuple[Any, ...]] | None:
        dao.stop_operation(connection, number, by)
        return dao.get_operation(connection, number)

    return _shown(runtime().write(stop))


def _number(text: str) -> int:
    number = parse_integer(text, LARGEST_ID)
    if number is None:
        raise _not_found()
    return number


def _show(number: int) -> dict[str, object]:
    return _shown(runtime().read(lambda connection: dao.get_operation(connection, number)))


def _shown(row: Row[*tuple[Any, ...]] | None) -> dict[str, object]:
    if row is None:
        raise _not_found()
    answer: dict[str, object] = _operation.dump(row)
    return answer


def _not_found() -> ApiError:
    return ApiError(404, "Operation not found", code="operation_not_found")
