"""The console's lists: complete, in order, and bounded whatever is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from service.storage import browsing
from service.storage.browsing import Page, Search
from service.storage.models import Order, OrderStatus
from tests.support.inspection import Store
from tests.support.states import claim, fill
from tests.support.stored_orders import add_finished, now

FAILED = OrderStatus.FAILED


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "PAGE", 3)
    monkeypatch.setattr(browsing, "LOOKED_AT", 10)


def find(store: Store, search: Search, **place: int | None) -> Page:
    return store.run(lambda its: browsing.find_orders(its, search, **place))


def older_pages(store: Store, search: Search) -> Iterator[Page]:
    """Go on to the older page until there is none."""
    page = find(store, search)
    yield page
    while page.older is not None:
        page = find(store, search, before=page.older)
        yield page


def ids(page: Page) -> list[int]:
    return [order.order_id for order in page.orders]


def test_pages_lead_through_all_orders_and_back(store: Store) -> None:
    add_finished(store, range(1, 9), FAILED, last_error="no")
    pages = list(older_pages(store, Search(status=FAILED)))
    assert [ids(page) for page in pages] == [[8, 7, 6], [5, 4, 3], [2, 1]]
    assert pages[0].newer is None
    page = pages[-1]
    assert page.newer is not None
    back = find(store, Search(status=FAILED), after=page.newer)
    assert ids(back) == [5, 4, 3]
    assert back.newer is not None
    first = find(store, Search(status=FAILED), after=back.newer)
    assert (ids(first), first.newer) == ([8, 7, 6], None)
    assert ids(find(store, Search(status=FAILED), before=first.older)) == [5, 4, 3]


def test_what_the_index_does_not_decide_is_looked_for_in_bounded_steps(store: Store) -> None:
    add_finished(store, [1], FAILED, last_error="rare: <b>")
    add_finished(store, range(2, 26), FAILED, last_error="usual")
    pages = list(older_pages(store, Search(status=FAILED, error="<b>")))
    assert [(ids(page), page.looked_at) for page in pages] == [([], 10), ([], 10), ([1], 5)]
    # Back to where somebody came from, though nothing is there.
    assert pages[1].newer is not None
    assert ids(find(store, Search(status=FAILED), after=pages[1].newer))
    assert pages[0].newer is None


def test_filters_narrow_each_other(store: Store) -> None:
    fill(store, pending=4, processing=3, completed=2, failed=1)
    add_finished(store, [101, 102], FAILED, last_error="100% 'quoted'")
    moved = update(Order).where(Order.order_id == 102).values(user_id=7)
    store.run(lambda its: its.execute(moved))
    moment = store.run(now)
    hour = timedelta(hours=1)
    cases = {
        (102, 101, 3): Search(status=FAILED),
        (102,): Search(status=FAILED, user_id=7),
        (101, 3): Search(status=FAILED, user_id=1),
        (6, 5, 4): Search(status=OrderStatus.PROCESSING),
        (10, 9, 8): Search(status=OrderStatus.PENDING),
        (): Search(status=OrderStatus.CANCELLED),
        (102, 101): Search(error="% 'quoted"),
        (102, 101, 10): Search(created_from=moment - hour, created_to=moment + hour),
    }
    for expected, search in cases.items():
        assert tuple(ids(find(store, search))) == expected, search
    in_work = Search(status=OrderStatus.PROCESSING, user_id=1)
    assert ids(find(store, in_work)) == [6, 5, 4]
    for narrowed in (
        Search(status=OrderStatus.PROCESSING, created_from=moment + hour),
        Search(status=OrderStatus.PROCESSING, error="no"),
        Search(created_from=moment + hour),
    ):
        assert ids(find(store, narrowed)) == [], narrowed
    assert ids(find(store, Search(created_to=moment - hour))) == []


def test_what_is_in_work_is_found_behind_a_backlog(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "OLDEST_CLAIMABLE", 5)
    store.add_orders(range(1, 21))
    claim(store, 2, owner="a")
    found = store.run(browsing.orders_in_work)
    assert [(order.order_id, order.lease_owner) for order in found] == [(2, "a"), (1, "a")]
    monkeypatch.setattr(browsing, "OLDEST_CLAIMABLE", 1)
    assert len(store.run(browsing.orders_in_work)) == 1


def test_failed_orders_by_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "NEWEST_FAILED", 6)
    add_finished(store, range(1, 11), FAILED, last_error="too old")
    add_finished(store, [11, 12, 13], FAILED, last_error="often")
    add_finished(store, [14], FAILED, last_error=None)
    add_finished(store, [15], FAILED, last_error=browsing.ERROR_PART * "ä" + " and more")
    add_finished(store, [16], OrderStatus.COMPLETED)
    groups = store.run(browsing.failed_by_error)
    found = {group.error: (group.orders, group.order_id) for group in groups}
    beginning = browsing.ERROR_PART * "ä"
    assert found == {"often": (3, 13), None: (1, 14), beginning: (1, 15), "too old": (1, 10)}
    assert groups[0].error == "often"
    # The beginning finds its orders.
    assert ids(find(store, Search(status=FAILED, error=beginning))) == [15]


def test_one_order_with_all_that_is_stored(store: Store) -> None:
    store.add_orders([2**63 - 1])
    found = store.run(lambda its: browsing.get_details(its, 2**63 - 1))
    assert found is not None
    assert (found.order_id, found.status, found.client, found.traceparent) == (
        2**63 - 1,
        "Pending",
        None,
        None,
    )
    assert store.run(lambda its: browsing.get_details(its, 1)) is None
