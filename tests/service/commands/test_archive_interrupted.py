"""`flask orders archive` that was cut off: the next run goes on, and each order is in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, exc, update

from service import archive
from service.archive import Archiver
from service.storage import archive as dao
from service.storage.database import Database
from service.storage.failures import DEADLOCK
from service.storage.models import Order, OrderStatus
from service.storage.moments import utcnow
from service.storage.order_changes import retry
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.archived import assert_each_in_one_place, orders_in
from tests.support.commands import assert_fails, json_from, run
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import DAY, add_finished

IDS = set(range(1, 9))
Cut = Callable[[pytest.MonkeyPatch], None]


class CutOff(BaseException):
    """The process ends here, as far as the archive is concerned."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.mkdir()
    return path


@pytest.fixture
def filled(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Eight orders that were finished 100 days ago; a file takes three."""
    monkeypatch.setattr(archive, "ROWS", 3)
    add_finished(store, [1, 2, 3, 4], OrderStatus.COMPLETED, days=100)
    add_finished(store, [5, 6, 7, 8], OrderStatus.FAILED, days=100, last_error="boom")
    return store


def cut(where: object, name: str, *, after: bool, call: int) -> Cut:
    """Cut off the n-th call of that function: before it does anything, or after all."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real, calls = getattr(where, name), []

        def cut_off(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == call and not after:
                raise CutOff
            found = real(*arguments, **options)
            if len(calls) == call:
                raise CutOff
            return found

        monkeypatch.setattr(where, name, cut_off)

    return patch


# The second file's turn: it is named, written and given its checksum, each under another name
# first; its orders are deleted; that is committed; and its name is forgotten.
STEPS: dict[str, Cut] = {
    "before it is named": cut(archive, "_write", after=False, call=4),
    "while it is named": cut(Path, "rename", after=False, call=4),
    "after it is named": cut(archive, "_write", after=True, call=4),
    "while it is written": cut(Path, "rename", after=False, call=5),
    "after it is written": cut(archive, "_write", after=True, call=5),
    "while it gets its checksum": cut(Path, "rename", after=False, call=6),
    "after it got its checksum": cut(archive, "_write", after=True, call=6),
    "while its orders are deleted": cut(dao, "delete_attempts", after=True, call=2),
    "before the commit": cut(dao, "delete_orders", after=True, call=2),
    "after the commit": cut(Database, "transaction", after=True, call=2),
}


def run_archive(app: Flask, folder: Path) -> int:
    """Archive; return how many orders that run archived."""
    found = json_from(app, "orders", "archive", "--older-than", "90d", "--to", str(folder))
    archived: int = found["archived"]
    return archived


@pytest.mark.parametrize("step", STEPS)
def test_at_each_step(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    figures = filled.statistics()
    with monkeypatch.context() as patch:
        STEPS[step](patch)
        with pytest.raises(CutOff):
            list(Archiver(filled.database, folder).run(90 * DAY))
    left = 2 if step == "after the commit" else 5
    assert len(filled.statuses()) == left
    assert run_archive(app, folder) == left
    assert filled.statuses() == {}
    assert_each_in_one_place(filled, folder, IDS)
    assert filled.statistics() == figures
    assert run_archive(app, folder) == 0


def test_again_and_again(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets as far as one file each time, or less."""
    for step in [*STEPS.values()] * 2:
        with monkeypatch.context() as patch:
            step(patch)
            try:
                list(Archiver(filled.database, folder).run(90 * DAY))
            except CutOff:
                continue
    run_archive(app, folder)
    assert_each_in_one_place(filled, folder, IDS)


@pytest.mark.parametrize(
    "step", ["while it is written", "after it got its checksum", "before the commit"]
)
def test_an_order_that_is_retried_before_the_next_run_is_in_no_file(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        STEPS[step](patch)
        with pytest.raises(CutOff):
            list(Archiver(filled.database, folder).run(90 * DAY))
    row = states.row_of(filled, 6)
    assert filled.run(lambda its: retry(its, [row])).changed == 1
    assert run_archive(app, folder) == 4
    assert filled.statuses() == {6: "Pending"}
    assert_each_in_one_place(filled, folder, IDS)
    [claim] = states.claim(filled)
    states.record(filled, [Result(claim, Verdict.COMPLETE, microseconds=1)])
    aged = utcnow(-100 * DAY)
    filled.run(lambda its: its.execute(update(Order).values(updated_at=aged)))
    assert run_archive(app, folder) == 1
    assert_each_in_one_place(filled, folder, IDS)
    [last] = [order for order in orders_in(folder) if order["order_id"] == 6]
    assert last["outcome"] == "Completed"


def test_a_file_whose_transaction_is_run_again_is_written_again(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, calls = dao.delete_orders, count(1)

    def delete_late(connection: Connection, row_ids: Collection[int]) -> None:
        if next(calls) == 2:
            raise exc.OperationalError("DELETE", {}, OSError(DEADLOCK, "Deadlock found"))
        delete(connection, row_ids)

    monkeypatch.setattr(dao, "delete_orders", delete_late)
    assert run_archive(app, folder) == 8
    assert_each_in_one_place(filled, folder, IDS)


def test_a_restore_to_an_earlier_moment_loses_nothing(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last file was committed, but the run did not say so; and of its orders 4 to 6 the
    database is given back only 4."""
    before = filled.order(4)
    with monkeypatch.context() as patch:
        STEPS["after the commit"](patch)
        with pytest.raises(CutOff):
            list(Archiver(filled.database, folder).run(90 * DAY))
    add_finished(filled, [4], OrderStatus.COMPLETED)
    values = {"id": before.id, "created_at": before.created_at, "updated_at": before.updated_at}
    filled.run(lambda its: its.execute(update(Order).where(Order.order_id == 4).values(**values)))
    assert run_archive(app, folder) == 2
    assert_each_in_one_place(filled, folder, IDS)


@ONLY_SQLITE
def test_a_damaged_file_is_one_line_and_everything_stays(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        STEPS["after the commit"](patch)
        with pytest.raises(CutOff):
            list(Archiver(filled.database, folder).run(90 * DAY))
    damaged = folder / (folder / ".pending").read_text()
    sound = damaged.read_bytes()
    checksum = damaged.with_name(damaged.name + ".sha256")
    arguments = ("orders", "archive", "--older-than", "90d", "--to", str(folder))

    def assert_refused(*words: str) -> None:
        assert_fails(run(app, *arguments), str(damaged), *words)
        assert set(filled.statuses()) == {7, 8}
        assert damaged.name == (folder / ".pending").read_text()

    for data in (b"", sound[:-1], sound + b"x", bytes([sound[0] ^ 1]) + sound[1:]):
        damaged.write_bytes(data)
        assert_refused("damaged")
    damaged.unlink()
    assert_refused("No such file")
    damaged.write_bytes(sound)
    right = checksum.read_bytes()
    checksum.write_bytes(b"")
    assert_refused("damaged")
    checksum.write_bytes(right)
    assert run_archive(app, folder) == 2
    assert_each_in_one_place(filled, folder, IDS)


@ONLY_SQLITE
def test_a_full_disk_is_one_line_and_loses_nothing(
    app: Flask, filled: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    arguments = ("orders", "archive", "--older-than", "90d", "--to", str(folder))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert_fails(run(app, *arguments), "No space left on device", str(folder))
    assert set(filled.statuses()) == IDS
    assert run_archive(app, folder) == 8
    assert_each_in_one_place(filled, folder, IDS)
