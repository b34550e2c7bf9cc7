"""`/metrics`: the orders counted, as JSON or for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept

from service.runtime import runtime
from service.storage.fleet import read_fleet
from service.storage.statistics import read_statistics
from service.web.exposition import render
from service.web.schemas import StatisticsSchema

blueprint = Blueprint("metrics", __name__)

_statistics = StatisticsSchema()
_TYPES = {
    "json": ("application/json", "application/*", "*/*"),
    "exposition": ("text/plain", "text/*", "application/openmetrics-text"),
}


@blueprint.get("/metrics")
def get_metrics() -> ResponseReturnValue:
    """Return exact figures from one snapshot."""
    statistics = runtime().read(read_statistics)
    if _prefers_exposition(request.accept_mimetypes):
        fleet = runtime().read(read_fleet)
        body, content_type = render(statistics, fleet, request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)
    figures: dict[str, object] = _statistics.dump(statistics)
    return figures


def _prefers_exposition(accepted: MIMEAccept) -> bool:
    # The quality decides, then whether the type is named or only matched by a wildcard.
    # Parameters, such as the format's version, do not matter here.
    best = dict.fromkeys(_TYPES, (0.0, False))
    for value, quality in accepted:
        media_type = value.partition(";")[0].strip().lower()
        for kind, types in _TYPES.items():
            if quality and media_type in types:
                best[kind] = max(best[kind], (quality, "*" not in media_type))
    return best["exposition"] > best["json"]
