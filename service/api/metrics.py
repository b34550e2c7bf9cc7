"""`/metrics`: the orders counted, as JSON or for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept

from service.dao.statistics import read_statistics
from service.exposition import render
from service.runtime import runtime
from service.schemas import StatisticsSchema

blueprint = Blueprint("metrics", __name__)

_statistics = StatisticsSchema()
_JSON_TYPES = ("application/json", "application/*", "*/*")
_EXPOSITION_TYPES = ("text/plain", "text/*", "application/openmetrics-text")


@blueprint.get("/metrics")
def get_metrics() -> ResponseReturnValue:
    """Return exact figures from one snapshot."""
    statistics = runtime().database.statement(read_statistics)
    if _prefers_exposition(request.accept_mimetypes):
        body, content_type = render(statistics, request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)
    figures: dict[str, object] = _statistics.dump(statistics)
    return figures


def _prefers_exposition(accepted: MIMEAccept) -> bool:
    # Best first; parameters such as the format's version do not matter here.
    for value, quality in accepted:
        media_type = value.partition(";")[0].strip().lower()
        if quality and media_type in _JSON_TYPES:
            return False
        if quality and media_type in _EXPOSITION_TYPES:
            return True
    return False
