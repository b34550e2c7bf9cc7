"""`GET /orders`: pages by cursor, and filters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, update

from service.storage.models import Order
from tests.support import states
from tests.support.answers import json_of
from tests.support.databases import order_body
from tests.support.inspection import Store


def page(client: FlaskClient, query: str = "") -> tuple[list[int], str | None]:
    """Return the order ids of one page, and the cursor of the next."""
    answer = client.get(f"/orders?{query}")
    assert answer.status_code == 200, answer.text
    body = json_of(answer)
    assert set(body) == {"orders", "next"}
    return [order["order_id"] for order in body["orders"]], body["next"]


def walk(client: FlaskClient, query: str) -> list[list[int]]:
    """Return all pages."""
    pages, cursor = [], ""
    while True:
        ids, following = page(client, query + cursor)
        pages.append(ids)
        if following is None:
            return pages
        assert f"&after={following}" != cursor, "the list does not go on"
        cursor = f"&after={following}"


def test_no_orders(client: FlaskClient) -> None:
    assert json_of(client.get("/orders")) == {"orders": [], "next": None}


def test_newest_first_whatever_the_ids(client: FlaskClient) -> None:
    arrivals = [5, 2**63 - 1, 1, 77, 3]
    for order_id in arrivals:
        assert client.post("/orders", json=order_body(order_id)).status_code == 201
    assert page(client) == (arrivals[::-1], None)


def test_lists_whole_orders(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=1, processing=1, completed=1, failed=1)
    listed: list[dict[str, Any]] = json_of(client.get("/orders"))["orders"]
    assert len(listed) == 4
    for order in listed:
        assert order == json_of(client.get(f"/orders/{order['order_id']}?view=full"))


def test_twenty_by_default(client: FlaskClient, store: Store) -> None:
    store.add_orders(range(1, 22))
    ids, following = page(client)
    assert ids == list(range(21, 1, -1))
    assert following is not None
    assert page(client, f"after={following}") == ([1], None)


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 10), (3, [3, 3, 3, 1]), (10, [10])])
def test_pages_have_no_gaps_and_no_doubles(
    client: FlaskClient, store: Store, limit: int, sizes: list[int]
) -> None:
    store.add_orders(range(1, 11))
    pages = walk(client, f"limit={limit}")
    assert [order for ids in pages for order in ids] == list(range(10, 0, -1))
    assert [len(ids) for ids in pages] == sizes


def test_a_page_has_up_to_a_hundred_orders(client: FlaskClient, store: Store) -> None:
    store.add_orders(range(1, 102))
    assert [len(ids) for ids in walk(client, "limit=100")] == [100, 1]


def test_orders_that_arrive_meanwhile_do_not_shift_pages(client: FlaskClient, store: Store) -> None:
    store.add_orders(range(1, 11))
    seen, following = page(client, "limit=3")
    newest = 10
    while following is not None:
        store.add_orders([newest + 1, newest + 2])
        newest += 2
        ids, following = page(client, f"limit=3&after={following}")
        seen += ids
    assert seen == list(range(10, 0, -1))


@pytest.mark.parametrize(
    ("status", "ids"),
    [
        ("Completed", [2, 1]),
        ("Failed", [5, 4, 3]),
        ("Processing", [6]),
        ("Pending", [10, 9, 8, 7]),
    ],
)
def test_filters_by_status(client: FlaskClient, store: Store, status: str, ids: list[int]) -> None:
    states.fill(store, pending=4, processing=1, completed=2, failed=3)
    assert page(client, f"status={status}") == (ids, None)
    assert walk(client, f"status={status}&limit=1") == [[order_id] for order_id in ids]
    statuses = {
        order["status"] for order in json_of(client.get(f"/orders?status={status}"))["orders"]
    }
    assert statuses == {status}


@pytest.mark.parametrize(
    ("statuses", "ids"),
    [
        ("Failed,Pending", [10, 9, 8, 7, 5, 4, 3]),
        ("Pending,Failed", [10, 9, 8, 7, 5, 4, 3]),
        ("Completed,Processing", [6, 2, 1]),
        ("Cancelled,Failed", [5, 4, 3]),
        ("Pending,Processing,Completed,Failed,Cancelled", list(range(10, 0, -1))),
    ],
)
def test_filters_by_several_statuses(
    client: FlaskClient, store: Store, statuses: str, ids: list[int]
) -> None:
    states.fill(store, pending=4, processing=1, completed=2, failed=3)
    for query in (f"status={statuses}", f"status={statuses}&user_id=1"):
        assert page(client, query) == (ids, None)
        assert walk(client, f"{query}&limit=1") == [[order_id] for order_id in ids]
        assert [
            one for ids_of_page in walk(client, f"{query}&limit=2") for one in ids_of_page
        ] == ids


def test_filters_by_time(client: FlaskClient, store: Store) -> None:
    store.add_orders(range(1, 6))
    moments = [
        store.order(1).created_at.replace(microsecond=0) + timedelta(days=n) for n in range(5)
    ]

    def set_moments(connection: Connection) -> None:
        for order_id, moment in enumerate(moments, 1):
            change = update(Order).where(Order.order_id == order_id)
            connection.execute(change.values(created_at=moment))

    store.run(set_moments)
    first, second, third, *_ = (f"{moment.isoformat()}Z" for moment in moments)
    assert page(client, f"created_from={third}") == ([5, 4, 3], None)
    assert page(client, f"created_to={third}") == ([2, 1], None)
    assert page(client, f"created_from={second}&created_to={third}") == ([2], None)
    assert page(client, f"created_from={third}&created_to={first}") == ([], None)
    assert walk(client, f"created_from={second}&limit=2") == [[5, 4], [3, 2]]
    hour_later = f"{(moments[0] + timedelta(hours=1)).isoformat()}%2B01:00"
    assert page(client, f"created_to={hour_later}") == ([], None)
    assert page(client, f"created_from={hour_later}&user_id=1&status=Pending,Failed") == (
        [5, 4, 3, 2, 1],
        None,
    )


def test_filters_by_user(client: FlaskClient, store: Store) -> None:
    largest = 2**63 - 1
    for user_id, ids in ((1, [1, 2]), (largest, [3]), (1, [4])):
        store.add_orders(ids, user_id=user_id)
    assert page(client, "user_id=1") == ([4, 2, 1], None)
    assert page(client, f"user_id={largest}") == ([3], None)
    assert page(client, "user_id=2") == ([], None)
    assert walk(client, "user_id=1&limit=2") == [[4, 2], [1]]


def test_filters_by_both(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=0, processing=0, completed=2, failed=1)
    store.add_orders([10], user_id=2)
    assert page(client, "status=Completed&user_id=1") == ([2, 1], None)
    assert page(client, "status=Pending&user_id=1") == ([], None)
    assert page(client, "status=Pending&user_id=2") == ([10], None)


def test_a_cursor_beyond_the_oldest_order_gives_an_empty_page(
    client: FlaskClient, store: Store
) -> None:
    store.add_orders([1, 2])
    _, following = page(client, "limit=1")
    assert page(client, f"user_id=99&after={following}") == ([], None)
