"""The console behind nginx: its own policy alone, files that browsers keep, and who may act."""

from __future__ import annotations

import re

from tests.support.stack import Stack, StackClient


def test_pages_keep_their_own_policy_and_files_may_be_kept(client: StackClient) -> None:
    page = client.get("/console/")
    assert page.status == 200
    [policy] = page.headers.getlist("Content-Security-Policy")
    assert "script-src 'self'" in policy
    assert page.headers.getlist("Cache-Control") == ["no-store"]
    assert page.headers.getlist("Referrer-Policy") == ["same-origin"]
    assert page.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert page.headers["X-Request-ID"]
    for address in re.findall(r'"(/console/assets/[^"]+)"', page.data.decode()):
        [caching] = client.get(address).headers.getlist("Cache-Control")
        assert "immutable" in caching
    # The API's answers have nginx's.
    plain = client.get("/orders")
    assert plain.headers["Content-Security-Policy"].startswith("default-src 'none'; frame")
    assert plain.headers["Cache-Control"] == "no-store"


def test_only_its_own_pages_act(stack: Stack, client: StackClient) -> None:
    """nginx passes the host on without its port; the browser's `Origin` has it."""
    own = f"https://{stack.host}:{stack.https_port}"
    for origin, status in ((own, 303), ("https://evil.example", 403)):
        answer = client.send("POST", "/console/processing/resume", Origin=origin)
        assert answer.status == status, answer.data
    assert client.get("/console").headers["Location"] == "/console/"
