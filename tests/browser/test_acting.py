"""What operators do, and who may not."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Dialog, Page, Response, expect

from service.storage import processing_state
from service.storage.models import OrderStatus
from tests.browser.conftest import Watched
from tests.support.browser import Site, pass_time
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.stored_orders import add_finished

OpenPage = Callable[..., Page]


@pytest.fixture
def paused(store: Store) -> None:
    """Nothing that a test puts back is processed meanwhile."""
    store.run(lambda its: processing_state.pause(its, "anna", "The webhook is down"))


@pytest.mark.usefixtures("paused")
def test_the_day_after_an_outage(open_page: OpenPage, store: Store) -> None:
    ids = range(20_001, 20_351)
    error = "TimeoutError: no answer from the warehouse in 10 s"
    add_finished(store, ids, OrderStatus.FAILED, last_error=error)

    page = open_page("/")
    page.clock.install()
    page.reload()
    expect(page.get_by_text("Processing is paused since")).to_contain_text("The webhook is down")
    page.get_by_role("link", name="Failed", exact=True).click()
    page.get_by_role("link", name=error).click()
    page.get_by_role("link", name="Retry all that match…").click()
    expect(page.locator("#number")).to_have_text("350 orders")
    page.get_by_role("button", name="Retry all that match").click()

    # It runs while processing pauses, and the page follows it by itself.
    expect(page.get_by_role("heading", level=1)).to_contain_text("Operation")
    live = page.locator("#live")
    wanted = "Completed 350 changed, 0 skipped"
    pass_time(page, lambda: wanted in " ".join(live.inner_text().split()), refreshes=20)
    assert live.get_attribute("hx-get") is None

    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Processing goes on.")).to_be_visible()
    assert page.get_by_text("Processing is paused since").count() == 0
    wait_until(lambda: set(map(store.statuses().get, ids)) == {"Completed"}, 20)

    page.get_by_role("link", name="Who did what").click()
    for action in ("operation.create", "processing.resume"):
        row = page.locator("tr", has_text=action).first
        expect(row).to_contain_text("operator")
        assert re.fullmatch("[0-9a-f]{32}", row.locator("td").last.inner_text())


@pytest.mark.usefixtures("paused")
def test_a_selection_is_asked_about_once(open_page: OpenPage, store: Store) -> None:
    ids = range(21_001, 21_004)
    add_finished(store, ids, OrderStatus.FAILED, last_error="of a selection")
    page = open_page("/orders?status=Failed&error=of+a+selection")
    questions: list[str] = []
    answers = iter((False, True))

    def answer(dialog: Dialog) -> None:
        questions.append(dialog.message)
        (dialog.accept if next(answers) else dialog.dismiss)()

    page.on("dialog", answer)
    button = page.get_by_role("button", name="Retry selected")
    button.click()  # nothing is selected
    for number in ids[:2]:
        page.get_by_label(f"Select order {number}").check()
    button.click()
    assert set(map(store.statuses().get, ids)) == {"Failed"}
    button.click()
    expect(page.get_by_text("2 orders put back")).to_be_visible()
    assert questions == ["Retry 2 orders?"] * 2
    assert [store.statuses()[number] for number in ids] == ["Pending", "Pending", "Failed"]
    assert "error=of+a+selection" in page.url


@pytest.mark.usefixtures("paused")
def test_all_of_it_works_without_javascript(open_page: OpenPage, store: Store) -> None:
    ids = range(22_001, 22_003)
    add_finished(store, ids, OrderStatus.FAILED, last_error="of no script")
    page = open_page("/", java_script_enabled=False)
    page.get_by_label("Order").fill(str(ids[0]))
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 order put back")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("1 order cancelled")).to_be_visible()

    page.get_by_role("link", name="Orders", exact=True).click()
    page.get_by_label("Status").select_option("Failed")
    page.get_by_label("Error contains").fill("of no script")
    page.get_by_role("button", name="Filter").click()
    page.get_by_label(f"Select order {ids[1]}").check()
    page.get_by_role("button", name="Retry selected").click()
    expect(page.get_by_text("1 order put back")).to_be_visible()

    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Pause processing…").click()
    page.get_by_label("Reason").fill("No <script> & no haste")
    page.get_by_role("button", name="Pause processing").click()
    expect(page.get_by_text("“No <script> & no haste”")).to_be_visible()


def test_a_viewer_sees_all_and_changes_nothing(
    open_page: OpenPage, watched: Watched, store: Store
) -> None:
    add_finished(store, [23_001], OrderStatus.FAILED, last_error="of a viewer")
    page = open_page("/", as_="viewer")
    for path in ("/", "/orders?status=Failed", "/orders/23001", "/failed", "/workers", "/events"):
        page.goto(f"/console{path}")
        # The ones that look for something, close the help, or show it.
        buttons = {button.inner_text() for button in page.locator("button:visible").all()}
        assert buttons <= {"Go", "Filter", "Keys: ?"}, path
        assert page.get_by_role("link", name=re.compile("Retry|Pause|Cancel")).count() == 0
    watched.allowed.add(403)
    for path in ("orders/23001/retry", "processing/pause", "bulk"):
        status = page.evaluate(f"fetch('/console/{path}', {{method: 'POST'}}).then(r => r.status)")
        assert status == 403, path
    assert store.statuses()[23_001] == "Failed"


@contextmanager
def other_site(target: str) -> Iterator[str]:
    """Serve a page of another site, with a form that sends to the target; give its address."""
    form = f'<form method="post" action="{target}"><button>Win</button></form>'.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 204)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            if self.path == "/":
                self.wfile.write(form)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://evil.test:{server.server_port}/"
        server.shutdown()


def test_pages_of_other_sites_do_nothing(
    open_page: OpenPage, watched: Watched, site: Site, store: Store
) -> None:
    """With `Sec-Fetch-Site`, as to localhost, and without, as to hosts that are not trusted."""
    watched.allowed.add(403)
    add_finished(store, [24_001], OrderStatus.FAILED, last_error="of another site")
    named = f"http://console.test:{site.server.port}"
    sent: dict[str, str | None] = {}
    for base in (site.base, named):
        page = open_page("/", base=base)  # logged in
        target = f"{base}/console/orders/24001/retry"
        with other_site(target) as address:
            page.goto(address)
            with page.expect_response(target) as answered:
                page.get_by_role("button", name="Win").click()
        answer: Response = answered.value
        sent[base] = answer.request.all_headers().get("sec-fetch-site")
        assert answer.status == 403
        expect(page.get_by_text("Only pages of this console may do that.")).to_be_visible()
    assert sent == {site.base: "cross-site", named: None}, "what this browser sends"
    assert store.statuses()[24_001] == "Failed"

    # The console's own page does without it, too.
    page = open_page("/orders/24001", base=named)
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 order put back")).to_be_visible()
