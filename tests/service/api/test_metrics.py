"""`GET /metrics`: exact figures, as JSON and in the exposition formats."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask.testing import FlaskClient
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from service.dao.orders import retry_failed
from tests.support import states
from tests.support.answers import json_of
from tests.support.databases import order_body
from tests.support.inspection import Store

PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
STATUSES = ("Pending", "Processing", "Completed", "Failed")
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
        for family in parse(answer.text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def test_no_orders(client: FlaskClient) -> None:
    assert figures(client) == {
        "total_orders": 0,
        "pending_orders": 0,
        "processing_orders": 0,
        "completed_orders": 0,
        "failed_orders": 0,
        "avg_processing_time_seconds": 0,
    }


@pytest.mark.parametrize(
    "counts", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (4, 3, 5, 2)], ids=str
)
def test_figures_are_what_is_stored(
    client: FlaskClient, store: Store, counts: tuple[int, int, int, int]
) -> None:
    pending, processing, completed, failed = counts
    states.fill(store, pending=pending, processing=processing, completed=completed, failed=failed)
    # The n-th completed order took n * 0.1 s.
    average = Decimal(completed + 1) / 2 / 10 if completed else 0
    assert figures(client) == {
        "total_orders": pending + processing + completed + failed,
        "pending_orders": pending,
        "processing_orders": processing,
        "completed_orders": completed,
        "failed_orders": failed,
        "avg_processing_time_seconds": average,
    }


def test_an_accepted_order_counts_at_once(client: FlaskClient) -> None:
    for number in (1, 2, 3):
        client.post("/orders", json=order_body(number))
        assert figures(client)["pending_orders"] == number
    client.post("/orders", json=order_body(3))
    client.post("/orders", json=order_body(4, user_id=0))
    assert figures(client)["total_orders"] == 3


def test_a_retried_order_is_pending_and_not_failed(client: FlaskClient, store: Store) -> None:
    states.fill(store, pending=0, processing=0, completed=1, failed=2)
    assert store.run(lambda connection: retry_failed(connection, 2))
    found = figures(client)
    assert (found["total_orders"], found["pending_orders"], found["failed_orders"]) == (3, 1, 1)


@pytest.mark.parametrize(
    "accept",
    ["text/plain", "text/plain;version=0.0.4", "application/openmetrics-text", PROMETHEUS_ACCEPT],
)
def test_the_exposition_has_the_same_figures(
    client: FlaskClient, store: Store, accept: str
) -> None:
    states.fill(store, pending=4, processing=3, completed=5, failed=2)
    samples = exposition(client, accept)
    found = {status: samples["order_service_orders", status] for status in STATUSES}
    assert found == {"Pending": 4, "Processing": 3, "Completed": 5, "Failed": 2}
    assert samples["order_service_total_orders", ""] == 14
    assert samples["order_service_avg_processing_time_seconds", ""] == pytest.approx(0.3)


def test_the_exposition_has_the_services_own_figures(client: FlaskClient) -> None:
    names = {name for name, _ in exposition(client)}
    assert names >= {
        "order_service_queue_age_seconds",
        "order_service_http_requests_total",
        "order_service_http_request_duration_seconds_bucket",
        "order_service_orders_claimed_total",
        "order_service_orders_retried_total",
        "order_service_leases_lost_total",
    }


def test_requests_are_counted(client: FlaskClient) -> None:
    before = exposition(client).get(("order_service_http_requests_total", "409"), 0)
    for _ in range(3):
        client.post("/orders", json=order_body(1))
    assert exposition(client)["order_service_http_requests_total", "409"] == before + 2


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


def test_the_queues_age(client: FlaskClient, store: Store) -> None:
    assert exposition(client)["order_service_queue_age_seconds", ""] == 0
    states.fill(store, pending=0, processing=1, completed=1, failed=0)
    assert exposition(client)["order_service_queue_age_seconds", ""] == 0
    store.add_orders([100])
    assert 0 <= exposition(client)["order_service_queue_age_seconds", ""] < 30


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8", ""])
def test_json_for_everybody_else(client: FlaskClient, accept: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert json_of(answer)["total_orders"] == 0
