"""`GET /metrics`: exact figures, as JSON and in the exposition formats.

The figures of the server itself, summed over its processes, are in server/test_own_figures.py.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask.testing import FlaskClient
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from sqlalchemy import update

from service.storage.models import Order
from service.storage.moments import utcnow
from service.storage.order_changes import retry
from tests.support import states
from tests.support.answers import json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

STATUSES = ("Pending", "Processing", "Completed", "Failed", "Cancelled")
Samples = dict[tuple[str, str], float]


def figures(client: FlaskClient) -> dict[str, object]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    found: dict[str, object] = json_of(answer)
    return found


def exposition(client: FlaskClient, accept: str = "text/plain") -> Samples:
    """Return each sample's value, by its name and its `status` label."""
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    openmetrics = answer.mimetype == "application/openmetrics-text"
    assert openmetrics or answer.mimetype == "text/plain"
    parse = (openmetrics_parser if openmetrics else text_parser).text_string_to_metric_families
    return {
        (sample.name, sample.labels.get("status", "")): sample.value
        for family in parse(answer.text)
        for sample in family.samples
    }


def test_no_orders(client: FlaskClient) -> None:
    assert figures(client) == {
        "total_orders": 0,
        "pending_orders": 0,
        "processing_orders": 0,
        "completed_orders": 0,
        "failed_orders": 0,
        "cancelled_orders": 0,
        "avg_processing_time_seconds": 0,
    }


@ONLY_SQLITE
@pytest.mark.parametrize(
    "counts", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)], ids=str
)
def test_each_order_counts_where_it_belongs(
    client: FlaskClient, store: Store, counts: tuple[int, int, int, int]
) -> None:
    pending, processing, completed, failed = counts
    states.fill(store, pending=pending, processing=processing, completed=completed, failed=failed)
    assert figures(client) == {
        "total_orders": 1,
        "pending_orders": pending,
        "processing_orders": processing,
        "completed_orders": completed,
        "failed_orders": failed,
        "cancelled_orders": 0,
        "avg_processing_time_seconds": Decimal("0.1") if completed else 0,
    }


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_both_forms_have_the_same_figures(client: FlaskClient, store: Store, accept: str) -> None:
    states.fill(store, pending=4, processing=3, completed=5, failed=2)
    # The n-th completed order took n * 0.1 s.
    assert figures(client) == {
        "total_orders": 14,
        "pending_orders": 4,
        "processing_orders": 3,
        "completed_orders": 5,
        "failed_orders": 2,
        "cancelled_orders": 0,
        "avg_processing_time_seconds": Decimal("0.3"),
    }
    samples = exposition(client, accept)
    found = {status: samples["order_service_orders", status] for status in STATUSES}
    assert found == {"Pending": 4, "Processing": 3, "Completed": 5, "Failed": 2, "Cancelled": 0}
    assert samples["order_service_processing_seconds_total", ""] == pytest.approx(1.5)
    assert samples["order_service_database_up", ""] == 1


@ONLY_SQLITE
def test_an_accepted_order_counts_at_once(client: FlaskClient) -> None:
    for number in (1, 2, 3):
        client.post("/orders", json=order_body(number))
        assert figures(client)["pending_orders"] == number
    client.post("/orders", json=order_body(3))
    client.post("/orders", json=order_body(4, user_id=0))
    assert figures(client)["total_orders"] == 3


@ONLY_SQLITE
def test_a_retried_order_is_pending_and_not_failed(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=0, processing=0, completed=1, failed=2)
    row = states.row_of(store, 2)
    assert store.run(lambda its: retry(its, [row])).changed
    found = figures(client)
    assert (found["total_orders"], found["pending_orders"], found["failed_orders"]) == (3, 1, 1)


@ONLY_SQLITE
def test_the_time_series_do_not_grow_with_orders_or_paths(client: FlaskClient) -> None:
    def visit(number: int) -> str:
        client.get(f"/orders/{number}")
        client.get(f"/nowhere/{number}")
        client.open(f"/nowhere/{number}", method=f"M{number}")
        return client.get("/metrics", headers={"Accept": "text/plain"}).text

    def series(text: str) -> set[str]:
        return {line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"}

    visit(1)
    assert series(visit(2)) == series(visit(3))


def test_the_queues_age_is_since_when_the_longest_due_order_is_due(
    client: FlaskClient, store: Store
) -> None:
    def age() -> float:
        return exposition(client)["order_service_oldest_due_order_age_seconds", ""]

    def due(order_id: int, hours_ago: int) -> None:
        order = update(Order).where(Order.order_id == order_id)
        times = {"created_at": utcnow(-36000.0), "available_at": utcnow(-3600.0 * hours_ago)}
        store.run(lambda connection: connection.execute(order.values(**times)))

    assert age() == 0
    states.fill(store, pending=2, processing=1, completed=1, failed=0)
    for order_id, hours_ago in {1: 9, 2: 8, 3: 3, 4: 1}.items():
        due(order_id, hours_ago)
    assert 3 * 3600 <= age() < 4 * 3600
