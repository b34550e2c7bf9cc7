"""`/openapi.json` and `/docs`."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.web.problems import PROBLEMS
from tests.support.answers import json_of
from tests.support.databases import ONLY_SQLITE

pytestmark = ONLY_SQLITE


class Page(HTMLParser):
    """What stands in a page: its elements, their ids, and where links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(values)
        self.ids += [value for value in (values.get("id"),) if value]
        self.links |= {value for value in (values.get("href"), values.get("src")) if value}


@pytest.fixture
def anybody(app: Flask) -> FlaskClient:
    """A client without credentials."""
    return app.test_client()


def test_anybody_may_read_the_document(anybody: FlaskClient) -> None:
    answer = anybody.get("/openapi.json")
    assert answer.status_code == 200
    assert "/orders/{order_id}" in json_of(answer)["paths"]


def test_the_page_has_no_script_and_loads_nothing(anybody: FlaskClient) -> None:
    answer = anybody.get("/docs")
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert not page.tags & {"script", "img", "iframe", "object", "form", "base"}
    assert not {name for name in page.attributes if name.startswith("on")} | (
        page.attributes & {"style"}
    )
    elsewhere = {link for link in page.links if not link.startswith("#")}
    assert elsewhere == {"/openapi.json", "data:,"}


def test_its_policy_allows_its_own_style_alone(anybody: FlaskClient) -> None:
    answer = anybody.get("/docs")
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = answer.headers.getlist("Content-Security-Policy")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_each_link_within_the_page_leads_somewhere(anybody: FlaskClient) -> None:
    page = Page(anybody.get("/docs").text)
    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids)
    # Where the `type` of problem details leads.
    assert set(PROBLEMS) <= set(page.ids)


def test_it_has_each_operation_and_exact_numbers(anybody: FlaskClient) -> None:
    page = anybody.get("/docs").text
    for methods in json_of(anybody.get("/openapi.json"))["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    assert "9223372036854775807" in page
    assert "9999999999.99" in page
    assert "9223372036854776" not in page
    assert "<code>orders:write</code>" in page
