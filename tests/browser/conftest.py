"""A real browser on the real server. A test fails for whatever the browser complains of."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

from service.storage.clients import Scope
from tests.support import outage_day
from tests.support.browser import EXECUTABLE, OPTIONS, Site
from tests.support.clients import add_client
from tests.support.databases import migrate
from tests.support.inspection import Store, open_store
from tests.support.service_process import Server


class Watched:
    """What a browser complains of, but for answers that a test asks for."""

    def __init__(self) -> None:
        self.allowed: set[int] = set()
        self._problems: list[tuple[int, str]] = []

    def watch(self, page: Page) -> None:
        """Note the complaints of a page."""
        page.on("pageerror", lambda error: self._note(f"error: {error}"))
        page.on("requestfailed", self._note_failure)
        page.on("console", self._note_console)
        page.on("response", self._note_response)

    @property
    def problems(self) -> list[str]:
        """All but those that are allowed."""
        return [text for status, text in self._problems if status not in self.allowed]

    def forget(self) -> None:
        """Have nothing of what there was count."""
        self._problems.clear()

    def _note_console(self, said: ConsoleMessage) -> None:
        # Chromium's own line on a status; the response has told it already.
        loud = said.type in ("error", "warning")
        if loud and not said.text.startswith("Failed to load resource"):
            self._note(f"console: {said.text}")

    def _note_failure(self, asked: Request) -> None:
        # What a page still asked for when the next one was opened.
        if asked.failure != "net::ERR_ABORTED":
            self._note(f"failed: {asked.url} {asked.failure}")

    def _note_response(self, answer: Response) -> None:
        if answer.status >= 400:
            self._note(f"{answer.status}: {answer.url}", answer.status)

    def _note(self, text: str, status: int = 0) -> None:
        self._problems.append((status, text))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=EXECUTABLE, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server on the day after an outage, with one processor, and its clients."""
    folder = tmp_path_factory.mktemp("site")
    url = f"sqlite:///{folder}/orders.db"
    migrate(url)
    with open_store(url) as store:
        outage_day.fill(store)
        viewer = add_client(store, "viewer", Scope.ORDERS_READ)
        operator = add_client(store, "operator", Scope.OPERATE)
        with Server(folder, url, SIMULATE_MAX_MILLISECONDS=0).start() as server:
            names = {"viewer": viewer, "operator": operator}
            logins = {name: _login(header) for name, header in names.items()}
            yield Site(server, store, logins)


def _login(header: dict[str, str]) -> tuple[str, str]:
    text = base64.b64decode(header["Authorization"].split()[1]).decode()
    name, _, secret = text.partition(":")
    return name, secret


@pytest.fixture
def store(site: Site) -> Store:
    """The site's database."""
    return site.store


@pytest.fixture
def watched() -> Iterator[Watched]:
    """What the browser complains of, which is to be nothing at the test's end."""
    made = Watched()
    yield made
    assert made.problems == []


@pytest.fixture
def open_page(chromium: Browser, site: Site, watched: Watched) -> Iterator[Callable[..., Page]]:
    """Open a page of the console, by default as an operator: `open_page("/orders", as_="viewer")`.

    What else is given goes to Playwright's context.
    """
    contexts: list[BrowserContext] = []

    def open_it(path: str, *, as_: str = "operator", base: str | None = None, **given: Any) -> Page:
        name, secret = site.logins[as_]
        context = chromium.new_context(
            base_url=base or site.base,
            http_credentials={"username": name, "password": secret},
            **({"viewport": {"width": 1280, "height": 900}} | given),
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        watched.watch(page)
        page.goto(f"/console{path}")
        return page

    yield open_it
    for context in contexts:
        context.close()
