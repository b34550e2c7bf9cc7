"""`GET /metrics`: which `Accept` headers get an exposition format, and which JSON."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.databases import ONLY_SQLITE

pytestmark = ONLY_SQLITE

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
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
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def media_type(client: FlaskClient, accept: str) -> str | None:
    """Return the type of the answer to this `Accept` header."""
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    return answer.mimetype


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_PROTOBUF, OPENMETRICS),
        ("text/plain", TEXT),
        ("TEXT/PLAIN", TEXT),
        ("text/plain;version=1.0.0a", TEXT),
        ("text/*", TEXT),
        ("text/plain;version=0.0.4;charset=utf-8", TEXT),
        ("text/plain, */*", TEXT),
        ("text/plain, application/json;q=0.9", TEXT),
        ("application/json;q=0.1, text/*;q=0.9", TEXT),
        ("application/json;q=0, text/plain", TEXT),
    ],
)
def test_an_exposition_is_preferred(client: FlaskClient, accept: str, expected: str) -> None:
    assert media_type(client, accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/*",
        "application/json, text/plain;version=0.0.4;q=0.1",
        "application/json, text/plain, */*",
        "text/plain;q=0",
        "text/plain;q=0.1, */*",
        "text/*, application/json",
        BROWSER,
        "image/png",
        ";;;,,,q=1",
    ],
)
def test_json_is_preferred(client: FlaskClient, accept: str) -> None:
    assert media_type(client, accept) == "application/json"


def test_without_the_header_it_is_json(client: FlaskClient) -> None:
    assert client.get("/metrics").mimetype == "application/json"
