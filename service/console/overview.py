"""The overview: how it goes, and what was done last."""

from __future__ import annotations

from flask import Response, request

from service.console import charts
from service.console.notices import notice
from service.console.site import blueprint, page
from service.runtime import runtime
from service.storage import audit, operations, samples
from service.storage.fleet import read_fleet
from service.storage.statistics import glance
from service.web.auth import Scope, needs

LAST_ACTIONS, LAST_OPERATIONS = 5, 5
# Of a backlog that is longer, the length is that of the last sample.
COUNTED = 10_000


@blueprint.get("/")
@needs(Scope.ORDERS_READ)
def overview() -> Response:
    """Show counts, charts, processors, the receiver, and the last actions."""
    span = charts.SPANS.get(request.args.get("span", ""), charts.SPANS["1h"])
    read = runtime().read
    past = read(lambda its: samples.list_samples(its, minutes=span.minutes, step=span.step))
    figures = read(lambda its: glance(its, COUNTED))
    latest = read(lambda its: operations.list_operations(its, limit=LAST_OPERATIONS))
    return page(
        "overview.html",
        notice=notice(),
        statistics=figures,
        about_pending=past[-1].pending if figures.capped and past else None,
        fleet=read(read_fleet),
        span=span,
        charts=[draw(past, span) for draw in (charts.throughput, charts.backlog, charts.age)],
        running=[one for one in latest if one.state == operations.OperationState.RUNNING],
        entries=read(lambda its: audit.list_entries(its, limit=LAST_ACTIONS)),
    )
