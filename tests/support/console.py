"""Pages of the console, as a program reads them."""

from __future__ import annotations

from html.parser import HTMLParser

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

# What a browser says of a form on one of the console's own pages.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
INLINE = frozenset({"a", "b", "strong", "span", "time"})


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in INLINE:
            self.texts.append(" ")
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")


def text_of(answer: TestResponse, status: int = 200) -> str:
    """Return what a page says, in one line; fail unless it is a page with this status."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return " ".join("".join(_read(answer).texts).split())


def links_of(answer: TestResponse) -> list[str]:
    """Return where the links of a page lead."""
    return _read(answer).links


def act(client: FlaskClient, path: str, **fields: object) -> str:
    """Send a form of the console, and return where the answer leads."""
    answer = client.post(f"/console{path}", headers=OWN_PAGE, data=fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def _read(answer: TestResponse) -> _Texts:
    parser = _Texts()
    parser.feed(answer.text)
    return parser
