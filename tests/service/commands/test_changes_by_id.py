"""`flask orders retry ID…` and `cancel ID…`: some orders, at once."""

from __future__ import annotations

import pytest
import simplejson
from flask import Flask

from service.storage.models import OrderStatus
from tests.support import states
from tests.support.commands import assert_wrong_usage, json_from, run
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished, add_waiting


@pytest.fixture
def filled(store: Store) -> Store:
    """Orders 1 Processing, 2 and 3 Failed, 4 and 5 waiting, 6 Pending, 7 Completed, 8 Cancelled."""
    store.add_orders([1])
    states.claim(store)
    add_finished(store, [2, 3], OrderStatus.FAILED)
    add_waiting(store, [4, 5])
    store.add_orders([6])
    add_finished(store, [7], OrderStatus.COMPLETED)
    add_finished(store, [8], OrderStatus.CANCELLED)
    return store


def figures(app: Flask) -> dict[str, int]:
    names = ("pending", "waiting", "processing", "completed", "failed", "cancelled")
    found = json_from(app, "orders", "stats")
    return {name: found[f"{name}_orders"] for name in names}


def test_a_retry_of_several(app: Flask, filled: Store) -> None:
    result = run(app, "orders", "retry", "2", "4", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [f"Order {number} is Pending again." for number in (2, 4, 3)]
    assert result.stdout.splitlines() == lines
    assert figures(app) == {
        "pending": 5,
        "waiting": 1,
        "processing": 1,
        "completed": 1,
        "failed": 0,
        "cancelled": 1,
    }
    # What failed has all its attempts before it; what waited makes the one that it waited for.
    attempts = {claim.order_id: claim.attempt for claim in states.claim(filled)}
    assert attempts == {2: 1, 3: 1, 4: 2, 6: 1}


def test_a_cancel_of_several(app: Flask, filled: Store) -> None:
    assert json_from(app, "orders", "cancel", "6", "5") == {"changed": [6, 5], "problems": {}}
    assert figures(app) == {
        "pending": 1,
        "waiting": 1,
        "processing": 1,
        "completed": 1,
        "failed": 2,
        "cancelled": 3,
    }
    assert states.claim(filled) == []


def test_what_cannot_be_is_told_and_the_others_are_done(app: Flask, filled: Store) -> None:
    result = run(app, "orders", "retry", "77", "2", "7", "3", "6")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [f"Order {number} is Pending again." for number in (2, 3)]
    unknown, completed, pending = result.stderr.splitlines()
    assert "no order 77" in unknown
    assert "order 7 is Completed" in completed
    assert "order 6 is Pending" in pending
    assert figures(app)["failed"] == 0
    assert filled.statuses()[7] == "Completed"


@ONLY_SQLITE
def test_so_it_is_for_programs(app: Flask, filled: Store) -> None:
    result = run(app, "orders", "cancel", "1", "6", "2", "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    found = simplejson.loads(result.stdout)
    assert found["changed"] == [6]
    assert set(found["problems"]) == {"1", "2"}
    assert "order 1 is Processing" in found["problems"]["1"]
    assert "order 2 is Failed" in found["problems"]["2"]
    assert filled.statuses()[1] == "Processing"


@ONLY_SQLITE
def test_an_order_that_is_named_twice_is_changed_once(app: Flask, filled: Store) -> None:
    assert json_from(app, "orders", "retry", "2", "2") == {"changed": [2], "problems": {}}
    assert json_from(app, "orders", "cancel", "6", "6") == {"changed": [6], "problems": {}}
    assert figures(app)["cancelled"] == 2
    assert filled.statuses()[2] == "Pending"


@pytest.mark.parametrize(("options", "version"), [((), 0), (("--new-key",), 1)])
def test_a_retry_keeps_the_orders_key_unless_told_otherwise(
    app: Flask, store: Store, options: tuple[str, ...], version: int
) -> None:
    add_finished(store, [1], OrderStatus.FAILED)
    add_waiting(store, [2])
    assert run(app, "orders", "retry", "1", "2", *options).exit_code == 0
    versions = {claim.order_id: claim.key_version for claim in states.claim(store)}
    assert versions == {1: version, 2: version}


@ONLY_SQLITE
@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["cancel", "--yes"],
        ["retry", "2", "--status", "Failed"],
        ["cancel", "6", "--user", "1"],
        ["retry", "2", "--dry-run"],
        ["cancel", "6", "--dry-run"],
        ["retry", "0"],
        ["retry", str(2**63)],
        ["cancel", "6.0"],
        ["cancel", "6", "--new-key"],
        ["retry", "2", "--nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_changes_nothing(app: Flask, filled: Store, arguments: list[str]) -> None:
    before = filled.statuses()
    assert_wrong_usage(run(app, "orders", *arguments))
    assert filled.statuses() == before
