"""Each page as people see it: accessible, in light and dark, and on narrow screens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.support import outage_day
from tests.support.browser import Site

OpenPage = Callable[..., Page]
PAGES = {
    "/": "Overview",
    "/orders?user_id=456": "Orders",
    "/orders?status=Completed&user_id=99": "Completed orders",
    "/failed": "Failed orders by error",
    f"/orders/{outage_day.TRAP}": "Order 5001",
    f"/orders/{outage_day.IN_WORK[0]}": "Order 7001",
    "/bulk?action=retry&status=Failed": "Retry all that match",
    "/workers": "Workers",
    "/operations": "Operations",
    "/operations/1": "Operation 1",
    "/events": "Events",
    "/audit": "Who did what",
    "/processing/pause": "Pause processing",
    "/nowhere": "Not Found",
}
DARK_RULES = {"runOnly": ["color-contrast"]}


def found(page: Page, options: Mapping[str, object] | None = None) -> str:
    """Return what axe finds; nothing for a page that is as it should be."""
    result = Axe().run(page, options=dict(options or {}))
    return str(result.generate_report()) if result.violations_count else ""


def check(page: Page) -> None:
    """It is accessible in light and dark, and fits a narrow screen."""
    assert not found(page)
    page.emulate_media(color_scheme="dark")
    assert not found(page, DARK_RULES)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_in_light_and_dark_and_fits_a_narrow_screen(
    open_page: OpenPage, watched: Watched, path: str
) -> None:
    watched.allowed.add(404)
    page = open_page(path)
    expect(page.get_by_role("heading", level=1)).to_contain_text(PAGES[path])
    check(page)


def test_the_description_of_the_api_is_so_too(open_page: OpenPage) -> None:
    page = open_page("/")
    page.goto("/docs")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Order service")
    check(page)


def test_axe_would_find_a_fault(open_page: OpenPage) -> None:
    page = open_page("/orders")
    page.evaluate("document.querySelector('tbody input').removeAttribute('aria-label')")
    assert "Rule Violated:\nlabel" in found(page)


def test_what_a_handler_said_is_text(open_page: OpenPage) -> None:
    for path in (f"/orders/{outage_day.TRAP}", "/orders?status=Failed", "/failed", "/events"):
        page = open_page(path)
        expect(page.locator("main")).to_contain_text(outage_day.SCRIPT)
        assert page.locator("main script, main b:has-text('more')").count() == 0
        assert "owned" not in page.title()


def test_nothing_comes_from_elsewhere(open_page: OpenPage, site: Site) -> None:
    asked: list[str] = []
    page = open_page("/")
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    assert len(asked) >= 4
    assert all(url.startswith((f"{site.base}/console/", "data:")) for url in asked), asked


def test_a_policy_that_is_broken_is_noticed(open_page: OpenPage, watched: Watched) -> None:
    page = open_page("/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    with pytest.raises(AssertionError, match="Content Security Policy"):
        assert watched.problems == []
    watched.forget()


def test_the_largest_id_stays_exact(open_page: OpenPage) -> None:
    page = open_page("/orders?status=Cancelled")
    page.get_by_role("link", name=str(outage_day.LARGEST)).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(str(2**63 - 1))
