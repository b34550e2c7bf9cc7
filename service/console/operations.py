"""Operations: what works on many orders, how far it is, and its stop."""

from __future__ import annotations

from flask import Response, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from service.console.filters import read_number
from service.console.notices import notice
from service.console.site import back_to, blueprint, page
from service.runtime import runtime
from service.storage import operations as dao
from service.storage.fleet import read_fleet
from service.storage.operations import OperationState
from service.web.auth import Scope, caller, needs
from service.web.fields import LARGEST_ID, parse_integer

PAGE = 25


@blueprint.get("/operations")
@needs(Scope.ORDERS_READ)
def list_operations() -> Response:
    """Show a page of operations, newest first."""
    before = read_number(request.args, "before")
    rows = runtime().read(lambda its: dao.list_operations(its, limit=PAGE + 1, before=before))
    listed = rows[:PAGE]
    return page(
        "operations.html",
        operations=listed,
        older=listed[-1].id if len(rows) > PAGE else None,
        first_page=before is None,
        any_running=any(one.state == OperationState.RUNNING for one in listed),
    )


@blueprint.get("/operations/<operation_id>")
@needs(Scope.ORDERS_READ)
def show_operation(operation_id: str) -> Response:
    """Show one operation and its progress."""
    number = parse_integer(operation_id, LARGEST_ID) or 0
    found = runtime().read(lambda its: dao.get_operation(its, number))
    if found is None:
        raise NotFound(f"There is no operation {operation_id}.")
    fleet = runtime().read(read_fleet)
    return page("operation.html", notice=notice(), operation=found, fleet=fleet)


@blueprint.post("/operations/<operation_id>/stop")
@needs(Scope.OPERATE)
def stop_operation(operation_id: str) -> AnyResponse:
    """Stop an operation where it is."""
    number = parse_integer(operation_id, LARGEST_ID) or 0
    by = caller().name
    if runtime().read(lambda its: dao.get_operation(its, number)) is None:
        raise NotFound(f"There is no operation {operation_id}.")
    runtime().write(lambda its: dao.stop_operation(its, number, by))
    return back_to(url_for("console.show_operation", operation_id=number, done="stopped"))
