"""Who did what."""

from __future__ import annotations

from flask import Response, request

from service.console.filters import read_number
from service.console.site import blueprint, page
from service.runtime import runtime
from service.storage.audit import list_entries
from service.web.auth import Scope, needs

PAGE = 50


@blueprint.get("/audit")
@needs(Scope.ORDERS_READ)
def list_audit() -> Response:
    """Show a page of the audit log, newest first."""
    before = read_number(request.args, "before")
    rows = runtime().read(lambda its: list_entries(its, limit=PAGE + 1, before=before))
    listed = rows[:PAGE]
    return page(
        "audit.html",
        entries=listed,
        older=listed[-1].id if len(rows) > PAGE else None,
        first_page=before is None,
    )
