"""`flask orders …`: what operators see, in tables and as JSON."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import create_app
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import FULL_FIELDS, json_of
from tests.support.commands import (
    assert_fails,
    assert_wrong_usage,
    fields_from,
    json_from,
    run,
    table_from,
)
from tests.support.databases import ONLY_SQLITE, settings_for
from tests.support.inspection import Store
from tests.support.ports import free_port


@pytest.fixture
def filled(store: Store) -> Store:
    """Orders 1 and 2 Completed, 3 Failed, 4 Processing, 5 and 6 Pending."""
    states.fill(store, pending=2, processing=1, completed=2, failed=1)
    return store


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
def test_list_shows_a_table(app: Flask) -> None:
    header, *rows = table_from(app, "orders", "list")
    assert header[:3] == ["order_id", "user_id", "status"]
    assert [(row[0], row[2]) for row in rows] == [
        ("6", "Pending"),
        ("5", "Pending"),
        ("4", "Processing"),
        ("3", "Failed"),
        ("2", "Completed"),
        ("1", "Completed"),
    ]
    assert rows[3][-1] == "boom"


@pytest.mark.usefixtures("filled")
def test_list_prints_what_the_api_answers(app: Flask, client: FlaskClient) -> None:
    answer = client.get("/orders")
    assert json_from(app, "orders", "list") == json_of(answer)["orders"]


@ONLY_SQLITE
@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--status", "Failed"], [3]),
        (["--user-id", "1", "--status", "Completed"], [2, 1]),
        (["--user-id", "2"], []),
        (["--user", "1", "--limit", "101"], [6, 5, 4, 3, 2, 1]),
    ],
    ids=str,
)
def test_list_filters(app: Flask, options: list[str], ids: list[int]) -> None:
    assert [order["order_id"] for order in json_from(app, "orders", "list", *options)] == ids


@ONLY_SQLITE
def test_list_of_nothing(app: Flask) -> None:
    assert len(table_from(app, "orders", "list")) == 1
    assert json_from(app, "orders", "list") == []


@pytest.mark.usefixtures("filled")
def test_show_an_order(app: Flask) -> None:
    header, *rows = table_from(app, "orders", "show", "3")
    assert header == ["field", "value"]
    found = {row[0]: " ".join(row[1:]) for row in rows}
    assert set(found) == FULL_FIELDS | {"client"}
    assert (found["order_id"], found["status"], found["last_error"]) == ("3", "Failed", "boom")
    order = json_from(app, "orders", "show", "3")
    assert set(order) == FULL_FIELDS | {"client", "attempt_list"}
    assert (order["order_id"], order["status"], order["last_error"]) == (3, "Failed", "boom")


def test_amounts_are_exact(app: Flask, client: FlaskClient) -> None:
    client.post(
        "/orders",
        data='{"order_id": 9223372036854775807, "user_id": 1, "item_ids": [1],'
        ' "total_amount": 9999999999.99}',
        content_type="application/json",
    )
    order = json_from(app, "orders", "show", "9223372036854775807")
    assert order["total_amount"] == Decimal("9999999999.99")
    assert ["total_amount", "9999999999.99"] in table_from(
        app, "orders", "show", "9223372036854775807"
    )


def test_retry_puts_a_failed_order_back(app: Flask, filled: Store) -> None:
    result = run(app, "orders", "retry", "3")
    assert result.exit_code == 0
    assert "3" in result.stdout
    assert filled.statuses()[3] == "Pending"
    assert filled.order(3).attempts == 0
    figures = filled.statistics()
    assert (figures.pending, figures.failed, figures.total) == (3, 0, 6)
    # It can be claimed at once, like a new order.
    assert 3 in {claim.order_id for claim in states.claim(filled, 10)}


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("order_id", "status"), [(1, "Completed"), (4, "Processing"), (5, "Pending")]
)
def test_retry_refuses_other_orders(app: Flask, filled: Store, order_id: int, status: str) -> None:
    before = filled.statuses()
    assert_fails(run(app, "orders", "retry", str(order_id)), str(order_id), status, "Failed")
    assert filled.statuses() == before


@ONLY_SQLITE
@pytest.mark.parametrize("command", ["show", "retry"])
def test_an_unknown_order(app: Flask, command: str) -> None:
    assert_fails(run(app, "orders", command, "77"), "77")


@pytest.mark.usefixtures("filled")
def test_stats(app: Flask, client: FlaskClient) -> None:
    figures = {
        "total_orders": 6,
        "pending_orders": 2,
        "processing_orders": 1,
        "completed_orders": 2,
        "failed_orders": 1,
        "cancelled_orders": 0,
        "avg_processing_time_seconds": Decimal("0.15"),
    }
    assert json_of(client.get("/metrics")) == figures
    of_processors = {
        "waiting_orders": 0,
        "processors": 0,
        "running_operations": 0,
        "paused": False,
        "receiver": "ok",
    }
    expected = figures | of_processors
    found = json_from(app, "orders", "stats")
    assert found.pop("queue_age_seconds") >= 0
    assert found == expected
    shown = fields_from(app, "orders", "stats")
    assert float(shown.pop("queue_age_seconds")) >= 0
    assert shown == {name: str(value) for name, value in expected.items()}


def test_stats_of_what_waits_and_what_runs(app: Flask, store: Store) -> None:
    store.add_orders([1, 2])
    [claim] = states.claim(store, 1)
    states.record(store, [Result(claim, Verdict.RETRY, error="away", delay=3600)])
    states.pass_time(store, 600)
    assert run(app, "processing", "pause", "--reason", "a test").exit_code == 0
    assert run(app, "orders", "retry", "--status", "Failed", "--yes", "--no-wait").exit_code == 0
    found = json_from(app, "orders", "stats")
    assert (found["pending_orders"], found["waiting_orders"]) == (2, 1)
    assert (found["paused"], found["running_operations"]) == (True, 1)
    assert 600 <= found["queue_age_seconds"] < 700


@ONLY_SQLITE
@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "0"],
        ["show", str(2**63)],
        ["show"],
        ["retry", "1.5"],
        ["list", "--status", "Done"],
        ["list", "--limit", "0"],
        ["list", "--from", "yesterday"],
        ["list", "--after", "NQ"],
        ["list", "--user-id", "0"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_explained(app: Flask, arguments: list[str]) -> None:
    result = run(app, "orders", *arguments)
    assert_wrong_usage(result)


@pytest.mark.parametrize("arguments", [["list"], ["show", "1"], ["retry", "1"], ["stats"]])
def test_a_lost_database_is_one_line(arguments: list[str]) -> None:
    url = f"mysql+pymysql://orders:hunter2@127.0.0.1:{free_port()}/orders"
    result = run(create_app(settings_for(url)), "orders", *arguments)
    assert_fails(result, "database", "DATABASE_URL")
    assert "hunter2" not in result.output


@pytest.mark.parametrize("path", ["", "fresh.db"], ids=["a folder", "no tables"])
def test_so_is_a_file_that_is_no_database_of_orders(tmp_path: Path, path: str) -> None:
    result = run(
        create_app(settings_for(f"sqlite:///{tmp_path}/{path}")), "orders", "list", "--json"
    )
    assert_fails(result, "database", "flask db upgrade")
