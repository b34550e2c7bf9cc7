"""What the pages say, and errors as pages."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from service.console import overview
from service.console.static import ASSETS
from service.storage import operations, samples
from service.storage.models import OrderStatus
from tests.support import outage_day
from tests.support.console import links_of, text_of
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished

PAGES = {
    "/": ("Processing is paused since", "Pending 160", "Failed 509", "40 for a later attempt"),
    "/?span=24h": ("The last 24 hours",),
    "/orders": ("Orders", "Completed"),
    "/orders?status=Processing": ("7001", "7003"),
    "/failed": ("412", outage_day.TIMEOUT, outage_day.SCRIPT),
    f"/orders/{outage_day.TRAP}": (
        "accepted, from shop",
        "attempt 3 ended: failed",
        "order.failed",
    ),
    f"/orders/{outage_day.LARGEST}": (f"Order {2**63 - 1} Cancelled",),
    "/workers": ("Orders in work: 3", "orders-1:4711:0c1e77aa", "No processor lives"),
    "/operations": ("error_contains=500", "Completed"),
    "/operations/1": ("96 changed, 0 skipped",),
    "/events": ("order.failed", outage_day.SCRIPT),
    "/audit": ("anna", "processing.pause", outage_day.REASON),
    "/bulk?action=retry&status=Failed&error=timed+out": ("Retry 412 orders", outage_day.TIMEOUT),
    "/processing/pause": ("Processing is paused since",),
}


def test_each_page_says_what_is_stored(client: FlaskClient, store: Store) -> None:
    outage_day.fill(store)
    # On MySQL other tests have had operations before.
    number = store.run(lambda its: operations.list_operations(its, limit=1))[0].id
    for path, parts in PAGES.items():
        said = text_of(
            client.get(f"/console{path.replace('/operations/1', f'/operations/{number}')}")
        )
        for part in parts:
            assert part in said, f"{path}: {said}"


def test_a_large_backlog_is_not_counted(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "COUNTED", 3)
    store.add_orders([1, 2])
    assert "Pending 2 " in text_of(client.get("/console/"))
    store.add_orders([3, 4])
    assert "Pending over 3 " in text_of(client.get("/console/"))
    store.run(samples.take_sample)
    assert "Pending about 4 " in text_of(client.get("/console/"))


@ONLY_SQLITE
def test_an_empty_database_has_pages_too(client: FlaskClient) -> None:
    for path in PAGES:
        stored = path.startswith(("/orders/", "/operations/"))
        text_of(client.get(f"/console{path}"), 404 if stored else 200)


@ONLY_SQLITE
def test_pages_lead_on_and_back(client: FlaskClient, store: Store) -> None:
    add_finished(store, range(1, 121), OrderStatus.FAILED, last_error="a & b")
    seen, path = [], "/console/orders?status=Failed&error=a+%26+b"
    forward = [path]
    while path:
        answer = client.get(path)
        links = links_of(answer)
        seen.append([number for number in range(1, 121) if f"/console/orders/{number}" in links])
        path = next((link for link in links if "before=" in link), "")
        forward.append(path)
    assert [len(page) for page in seen] == [50, 50, 20]
    assert len({number for page in seen for number in page}) == 120
    for page in reversed(seen[:-1]):
        newer = next(link for link in links_of(client.get(forward[-2])) if "after=" in link)
        links = links_of(client.get(newer))
        assert [n for n in range(1, 121) if f"/console/orders/{n}" in links] == page
        forward[-2] = newer


@ONLY_SQLITE
def test_an_id_leads_to_its_order(client: FlaskClient, store: Store) -> None:
    store.add_orders([outage_day.LARGEST])
    answer = client.get(f"/console/go?order_id=+{outage_day.LARGEST}+")
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"/console/orders/{outage_day.LARGEST}",
    )
    assert client.get("/console").headers["Location"] == "/console/"


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, "Not Found"),
        ("/orders/7", 404, "There is no order 7."),
        ("/orders/07", 404, "There is no order 07."),
        ("/orders/<script>", 404, "There is no order <script>."),
        ("/operations/7", 404, "There is no operation 7."),
        ("/go?order_id=x", 400, "order_id: expected an integer from 1"),
        ("/orders?status=<b>", 400, "status: expected one of Pending"),
        ("/orders?user_id=0", 400, "user_id: expected an integer from 1"),
        ("/orders?from=yesterday", 400, "from: expected a moment like"),
        ("/orders?before=1&after=2", 400, "Expected one of before and after"),
        ("/orders?error=" + 201 * "x", 400, "error: expected at most 200 characters"),
        ("/bulk?action=retry&status=Completed", 400, "status: expected Failed or Pending"),
        ("/bulk?action=drop", 400, "action: expected one of retry, cancel"),
        ("/events?state=x", 400, "state: expected one of Waiting"),
    ],
)
def test_errors_are_pages(client: FlaskClient, path: str, status: int, said: str) -> None:
    assert said in text_of(client.get(f"/console{path}"), status)


def test_odd_values_are_no_fault_of_the_service(client: FlaskClient) -> None:
    for query in (
        "error=%00",
        "error=%ff%fe",
        "before=1",
        f"after={2**63 - 1}",
        "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
    ):
        text_of(client.get(f"/console/orders?status=Failed&{query}"))
    for query in ("user_id=%D9%A1", "from=0001-01-01T00:00:00%2b05:00", f"after={2**63}"):
        text_of(client.get(f"/console/orders?{query}"), 400)
    text_of(client.get("/console/orders/%00"), 404)


@ONLY_SQLITE
def test_moments_are_utc_however_they_are_written(client: FlaskClient) -> None:
    for written in ("2026-01-31T12:00", "2026-01-31T12:00:00Z", "2026-01-31T14:00:00%2b02:00"):
        page = client.get(f"/console/orders?from={written}")
        text_of(page)
        assert 'name="from" step="any" value="2026-01-31T12:00:00"' in page.text


@ONLY_SQLITE
def test_wrong_methods_are_answered_with_pages(client: FlaskClient) -> None:
    for method in ("PUT", "DELETE", "OPTIONS"):
        headers = {"Sec-Fetch-Site": "same-origin"}
        text_of(client.open("/console/orders", method=method, headers=headers), 404)


@ONLY_SQLITE
def test_a_database_that_is_away_is_a_page(client: FlaskClient, store: Store) -> None:
    store.run(lambda its: its.execute(text("DROP TABLE orders")))
    answer = client.get("/console/orders")
    assert "Try again" in text_of(answer, 503)
    assert answer.headers["Retry-After"] == "1"


@ONLY_SQLITE
def test_without_credentials_the_browser_asks_for_them(app: Flask) -> None:
    answer = app.test_client().get("/console/")
    assert "Log in" in text_of(answer, 401)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="console", charset="UTF-8"'


@ONLY_SQLITE
def test_assets_are_kept_for_ever_under_a_name_that_changes_with_them(client: FlaskClient) -> None:
    page = client.get("/console/")
    for name, asset in ASSETS.items():
        address = f"/console/assets/{asset.version}/{name}"
        assert f'"{address}"' in page.text
        answer = client.get(address)
        assert answer.data == asset.content
        assert "immutable" in answer.headers["Cache-Control"]
    text_of(client.get("/console/assets/0000000000000000/console.css"), 404)
    assert page.headers["Cache-Control"] == "no-store"
