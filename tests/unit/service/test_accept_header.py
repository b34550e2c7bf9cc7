"""Which `Accept` headers prefer the exposition formats to JSON."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service.api.metrics import _prefers_exposition

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2,
        PROMETHEUS_3,
        PROMETHEUS_PROTOBUF,
        "text/plain",
        "TEXT/PLAIN",
        "text/plain;version=0.0.4;charset=utf-8",
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0",
        "text/*",
        "text/plain;q=0.1",
        "text/plain, */*;q=0.1",
        "text/plain, application/json;q=0.9",
        "application/json;q=0.5, text/plain",
        "application/json;q=0.5, text/plain;q=0.9",
        "application/json;q=0.1, text/*;q=0.9",
        "application/json;q=0, text/plain",
        "text/html, text/plain;q=0.9, */*;q=0.8",
    ],
)
def test_prefers_the_exposition(accept: str) -> None:
    assert _prefers_exposition(parse_accept_header(accept, MIMEAccept)) is True


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/*",
        "application/json, text/plain;q=0.9",
        "application/json, text/plain;version=0.0.4;q=0.1",
        "application/json, application/openmetrics-text;version=1.0.0;q=0.5",
        "application/json, text/plain, */*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "text/html",
        "image/png",
        "text/plain;q=0",
        "text/plain;q=0, */*",
        "text/plain;q=0.1, */*",
        "text/plain;version=0.0.4;q=0.5, application/json;q=0.9",
        "text/*;q=0.5, application/json",
        "nonsense",
        ";;;,,,q=1",
    ],
)
def test_prefers_json(accept: str | None) -> None:
    assert _prefers_exposition(parse_accept_header(accept, MIMEAccept)) is False
