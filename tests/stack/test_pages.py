"""Pages for people through nginx: their own headers, each once."""

from __future__ import annotations

import pytest

from tests.support.stack import StackClient

ONCE = (
    "Content-Type",
    "Content-Security-Policy",
    "Cache-Control",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "X-Request-ID",
)


@pytest.mark.parametrize(
    ("path", "content_type", "policy"),
    [
        ("/docs", "text/html; charset=utf-8", "style-src 'sha256-"),
        ("/openapi.json", "application/json", "default-src 'none'; frame-ancestors 'none'"),
        ("/orders", "application/json", "default-src 'none'; frame-ancestors 'none'"),
        ("/nowhere", "application/json", "default-src 'none'; frame-ancestors 'none'"),
        ("/healthz", "application/json", "default-src 'none'; frame-ancestors 'none'"),
        ("/console/", "text/html; charset=utf-8", "script-src 'self'"),
    ],
)
def test_each_header_is_there_once(
    client: StackClient, path: str, content_type: str, policy: str
) -> None:
    answer = client.get(path)
    assert {name: len(answer.headers.getlist(name)) for name in ONCE} == dict.fromkeys(ONCE, 1)
    assert answer.headers["Content-Type"] == content_type
    assert policy in answer.headers["Content-Security-Policy"]


def test_the_document_and_its_page_need_no_credentials(client: StackClient) -> None:
    for path in ("/docs", "/openapi.json"):
        assert client.get(path, authorization="").status == 200
