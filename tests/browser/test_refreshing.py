"""What the script adds: a refresh that survives outages, and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect
from sqlalchemy import text

from service.console.site import REFRESH_SECONDS
from service.storage.models import OrderStatus
from tests.browser.conftest import Watched
from tests.support import outage_day
from tests.support.browser import pass_time
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished

OpenPage = Callable[..., Page]


@contextmanager
def broken(store: Store) -> Iterator[None]:
    """Have the database answer with errors."""
    store.run(lambda its: its.execute(text("ALTER TABLE order_totals RENAME TO elsewhere")))
    try:
        yield
    finally:
        store.run(lambda its: its.execute(text("ALTER TABLE elsewhere RENAME TO order_totals")))


def open_with_clock(open_page: OpenPage) -> Page:
    page = open_page("/")
    page.clock.install()
    page.reload(wait_until="networkidle")
    return page


def test_the_overview_refreshes_itself_through_an_outage(
    open_page: OpenPage, watched: Watched, store: Store
) -> None:
    watched.allowed.add(503)
    page = open_with_clock(open_page)
    cancelled = page.locator(".counts .cancelled a")
    before = int(cancelled.inner_text())
    page.get_by_label("Order").fill("12")
    outage = page.locator("#outage")
    with broken(store):
        pass_time(page, outage.is_visible)
        expect(outage).to_contain_text("No answer from the service. What you see is of")
        assert cancelled.inner_text() == str(before)
    add_finished(store, [30_001], OrderStatus.CANCELLED)
    pass_time(page, lambda: cancelled.inner_text() == str(before + 1))
    pass_time(page, outage.is_hidden)
    # What somebody types is left alone.
    expect(page.get_by_label("Order")).to_have_value("12")
    expect(page.get_by_label("Order")).to_be_focused()


def test_a_page_that_is_opened_in_an_outage_says_so(
    open_page: OpenPage, watched: Watched, store: Store
) -> None:
    watched.allowed.add(503)
    with broken(store):
        page = open_page("/?span=24h")
        expect(page.get_by_text("The service cannot answer now. Try again later.")).to_be_visible()
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_nothing_is_asked_for_while_the_tab_is_hidden(open_page: OpenPage) -> None:
    page = open_with_clock(open_page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    hide = (
        "hidden => Object.defineProperty(document, 'hidden', {value: hidden, configurable: true})"
    )
    page.evaluate(hide, True)
    asked.clear()
    page.clock.run_for(10 * REFRESH_SECONDS * 1000)
    assert asked == []
    page.evaluate(hide, False)
    pass_time(page, lambda: len(asked) > 0)


def test_keys(open_page: OpenPage) -> None:
    page = open_page("/")
    press = page.keyboard.press
    press("/")
    expect(page.get_by_label("Order")).to_be_focused()
    page.keyboard.type("o5001")  # keys are letters in a field
    expect(page.get_by_label("Order")).to_have_value("o5001")
    page.get_by_label("Order").fill("5001")
    press("Enter")
    expect(page).to_have_url(f"{page.url.partition('/console')[0]}/console/orders/5001")
    for key, heading in (("f", "Failed orders by error"), ("w", "Workers"), ("o", "Orders")):
        page.wait_for_load_state()
        press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    first = page.locator("tbody a").first.inner_text()
    page.wait_for_load_state()
    press("j")
    expect(page.locator("tbody a").first).not_to_have_text(first)
    page.wait_for_load_state()
    press("k")
    expect(page.locator("tbody a").first).to_have_text(first)
    page.wait_for_load_state()
    boxes = page.locator("#selection input[type=checkbox]")
    press("x")
    assert all(box.is_checked() for box in boxes.all())
    press("x")
    assert not any(box.is_checked() for box in boxes.all())
    press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_bars_say_what_they_are(open_page: OpenPage) -> None:
    page = open_page("/")
    titles = page.locator("svg g title").all_text_contents()
    assert len(titles) > outage_day.SAMPLED_MINUTES // 24
    assert any("completed and" in title for title in titles)
    assert any("waiting for a later attempt" in title for title in titles)
    drawn = page.get_by_role("img", name="Backlog: ")
    expect(drawn).to_be_visible()
