"""`/metrics`: the orders counted, as JSON or for Prometheus."""

from __future__ import annotations

import logging
import time

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from service.runtime import runtime
from service.storage.database import refuse_after
from service.storage.failures import describe, is_permanent, is_unavailable
from service.storage.fleet import read_fleet
from service.storage.statistics import read_statistics
from service.web.auth import Scope, needs
from service.web.exposition import Figures, render
from service.web.negotiation import prefers
from service.web.schemas import StatisticsSchema
from service.web.strictness import protect

log = logging.getLogger(__name__)

blueprint = Blueprint("metrics", __name__)
protect(blueprint)

_statistics = StatisticsSchema()
_EXPOSITION = ("text/plain", "text/*", "application/openmetrics-text")


@blueprint.get("/metrics")
@needs(Scope.METRICS_READ)
def get_metrics() -> ResponseReturnValue:
    """Return exact figures from one snapshot."""
    if prefers(_EXPOSITION):
        accept = request.headers.get("Accept", "")
        body, content_type = render(runtime().settings.release, _figures(), accept)
        response = Response(body, content_type=content_type)
    else:
        response = jsonify(_statistics.dump(runtime().read(read_statistics)))
    response.vary.add("Accept")
    return response


def _figures() -> Figures | None:
    """Return the database's figures; None when it cannot tell them: the service's own are for just
    that time."""
    try:
        return runtime().read(_read)
    except Exception as error:
        if not (is_unavailable(error) or is_permanent(error)):
            raise
        log.warning("metrics without the database's figures: %s", describe(error))
        return None


def _read(connection: Connection) -> Figures:
    started = time.monotonic()
    statistics = read_statistics(connection)
    # A scraper waits for 10 s, and each statement may take half of that.
    refuse_after(started)
    return statistics, read_fleet(connection)
