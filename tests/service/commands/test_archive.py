"""`flask orders archive`: finished orders go to files, and everything still counts.

What an interruption leaves is in test_archive_interrupted.py.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, func, select, update

from service import archive
from service.storage import archive as dao
from service.storage.models import Order, OrderAttempt, OrderStatus
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import error_of, json_of
from tests.support.archived import assert_each_in_one_place, orders_in
from tests.support.commands import assert_fails, assert_wrong_usage, json_from, run
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.stored_orders import DAY, add_finished, add_waiting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.mkdir()
    return path


@pytest.fixture
def filled(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Orders 1 to 7 were finished 100 days ago, 11 to 13 80 days ago; 21 waits, 22 is Processing
    and 23 Pending, all of them as old. A file takes three."""
    monkeypatch.setattr(archive, "ROWS", 3)
    add_finished(store, [1, 2, 3, 4], OrderStatus.COMPLETED, days=100)
    add_waiting(store, [21])
    add_finished(store, [11], OrderStatus.COMPLETED, days=80)
    add_finished(store, [5, 6], OrderStatus.FAILED, days=100, last_error="boom")
    store.add_orders([22])
    states.claim(store)
    store.add_orders([23])
    add_finished(store, [12, 13], OrderStatus.FAILED, days=80)
    add_finished(store, [7], OrderStatus.CANCELLED, days=100)
    old = store.order(1).created_at
    unfinished = update(Order).where(Order.order_id > 20)
    store.run(lambda its: its.execute(unfinished.values(created_at=old, updated_at=old)))
    return store


def run_archive(app: Flask, folder: Path, older_than: str = "90d") -> Any:
    """Archive, and return what the command says of it as JSON."""
    return json_from(app, "orders", "archive", "--older-than", older_than, "--to", str(folder))


def test_old_finished_orders_go_and_the_others_stay(
    app: Flask, client: FlaskClient, filled: Store, folder: Path
) -> None:
    figures = json_of(client.get("/metrics"))
    stats = json_from(app, "orders", "stats")
    assert run_archive(app, folder) == {"archived": 7, "folder": str(folder)}
    assert {order["order_id"] for order in orders_in(folder)} == set(range(1, 8))
    assert set(filled.statuses()) == {11, 12, 13, 21, 22, 23}
    assert_each_in_one_place(filled, folder, {*range(1, 8), 11, 12, 13, 21, 22, 23})
    assert json_of(client.get("/metrics")) == figures
    again = json_from(app, "orders", "stats")
    del stats["queue_age_seconds"], again["queue_age_seconds"]
    assert again == stats
    error_of(client.get("/orders/1"), 404)
    error_of(client.get("/orders/1/attempts"), 404)


def test_a_file_has_the_whole_order_and_its_attempts(
    app: Flask, client: FlaskClient, store: Store, folder: Path
) -> None:
    body = order_body(2**63 - 1, total_amount=0.1, item_ids=[2**63 - 1, 1])
    assert client.post("/orders", json=body).status_code == 201
    [claim] = states.claim(store)
    error = "\x1b é \u2028 \n"
    states.record(store, [Result(claim, Verdict.FAIL, error=error, seconds=1.5, worker="w")])
    order = json_of(client.get(f"/orders/{2**63 - 1}?view=full"))
    [attempt] = json_of(client.get(f"/orders/{2**63 - 1}/attempts"))["attempts"]
    store.run(lambda its: its.execute(update(Order).values(created_at=datetime(2026, 1, 2))))  # noqa: DTZ001
    assert run_archive(app, folder, "0s")["archived"] == 1
    [archived] = orders_in(folder)
    assert archived["outcome"] == "Failed"
    assert archived["created_at"] == "2026-01-02T00:00:00.000000Z"
    for name in ("order_id", "user_id", "item_ids", "attempts", "updated_at", "last_error"):
        assert archived[name] == order[name], name
    assert archived["total_amount"] == Decimal("0.1")
    assert archived["attempt_list"] == [attempt]
    rows = store.run(lambda its: its.execute(select(func.count(OrderAttempt.id))).scalar_one())
    assert rows == 0, "what is known of its attempts has gone with it"


def test_another_run_adds_nothing(app: Flask, filled: Store, folder: Path) -> None:
    run_archive(app, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run_archive(app, folder)["archived"] == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # Time passes.
    assert run_archive(app, folder, "70d")["archived"] == 3
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.items() < after.items(), "a file was changed"
    assert_each_in_one_place(filled, folder, {*range(1, 8), 11, 12, 13, 21, 22, 23})


@ONLY_SQLITE
def test_people_are_told_of_each_file(app: Flask, filled: Store, folder: Path) -> None:
    result = run(app, "orders", "archive", "--older-than", "90d", "--to", str(folder))
    assert (result.exit_code, result.stderr) == (0, "")
    *files, last = result.stdout.splitlines()
    names = {path.name for path in folder.glob("*.gz")}
    assert {line.split()[-1] for line in files} == names
    assert sum(int(line.split()[0]) for line in files) == 7
    assert last == "7 orders archived."
    assert len(filled.statuses()) == 6


@ONLY_SQLITE
def test_nothing_to_archive(app: Flask, store: Store, folder: Path) -> None:
    store.add_orders([1])
    assert run_archive(app, folder) == {"archived": 0, "folder": str(folder)}
    assert orders_in(folder) == []


@ONLY_SQLITE
def test_an_order_that_comes_again_after_a_restore_gets_a_file_of_its_own(
    app: Flask, store: Store, folder: Path
) -> None:
    for _ in range(2):
        add_finished(store, [1], OrderStatus.COMPLETED, days=100)
        store.run(lambda its: its.execute(update(Order).values(id=1)))
        assert run_archive(app, folder)["archived"] == 1
    assert [order["order_id"] for order in orders_in(folder)] == [1, 1]


def test_an_order_that_was_retried_at_the_last_moment_stays(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the orders and the lock on them."""
    lock, row = dao.lock_finished, states.row_of(filled, 5)

    def retry_and_lock(connection: Connection, ids: list[int], before: datetime) -> Any:
        if row in ids:
            connection.execute(update(Order).where(Order.id == row).values(outcome=None))
        return lock(connection, ids, before)

    monkeypatch.setattr(dao, "lock_finished", retry_and_lock)
    assert run_archive(app, folder)["archived"] == 6
    assert filled.statuses()[5] == "Pending"
    assert_each_in_one_place(filled, folder, {*range(1, 8), 11, 12, 13, 21, 22, 23})


@ONLY_SQLITE
def test_two_runs_at_once_are_one_too_many(app: Flask, filled: Store, folder: Path) -> None:
    arguments = ("orders", "archive", "--older-than", "90d", "--to", str(folder))
    first = archive.Archiver(filled.database, folder).run(90 * DAY)
    next(first)
    left = filled.statuses()
    assert_fails(run(app, *arguments), "another run", str(folder))
    assert filled.statuses() == left
    assert sum(orders for _, orders in first) == 4
    assert run(app, *arguments).exit_code == 0
    assert_each_in_one_place(filled, folder, {*range(1, 8), 11, 12, 13, 21, 22, 23})


def test_a_run_begins_while_another_is_under_way(app: Flask, filled: Store, tmp_path: Path) -> None:
    """To another folder, of which the first knows nothing."""
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.mkdir()
    archiver = archive.Archiver(filled.database, one).run(90 * DAY)
    next(archiver)
    assert run_archive(app, other)["archived"] == 4
    assert list(archiver) == []
    orders = [*orders_in(one), *orders_in(other)]
    assert sorted(order["order_id"] for order in orders) == list(range(1, 8))


@ONLY_SQLITE
@pytest.mark.parametrize("kind", ["missing", "a file", "no room"])
def test_a_folder_that_cannot_be_used_is_one_line(
    app: Flask, filled: Store, tmp_path: Path, kind: str
) -> None:
    path = {"missing": tmp_path / "nowhere", "a file": tmp_path / "file", "no room": Path("/proc")}[
        kind
    ]
    (tmp_path / "file").touch()
    result = run(app, "orders", "archive", "--older-than", "90d", "--to", str(path))
    assert_fails(result, "cannot write to", str(path))
    assert len(filled.statuses()) == 13


@ONLY_SQLITE
@pytest.mark.parametrize(
    "options",
    [
        ["--to", "."],
        ["--older-than", "90d"],
        ["--older-than", "90", "--to", "."],
        ["--older-than", "-1d", "--to", "."],
        ["--older-than", "1.5d", "--to", "."],
        ["--older-than", "3w", "--to", "."],
        ["--older-than", "999999d", "--to", "."],
    ],
    ids=" ".join,
)
def test_wrong_usage(app: Flask, filled: Store, options: list[str]) -> None:
    assert_wrong_usage(run(app, "orders", "archive", *options))
    assert len(filled.statuses()) == 13
