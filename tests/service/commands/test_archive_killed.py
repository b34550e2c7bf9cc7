"""`flask orders archive` in a real process that is killed at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.storage.models import OrderStatus
from tests.support.archived import assert_each_in_one_place, orders_in
from tests.support.databases import ONLY_MYSQL
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.service_process import Process
from tests.support.stored_orders import add_finished

pytestmark = [pytest.mark.slow, ONLY_MYSQL]

SECONDS = 60.0
# Seven files' worth.
ORDERS = 14_000
KILLS = 2


def archiving(directory: Path, url: str, folder: Path) -> Process:
    arguments = ["flask", "orders", "archive", "--older-than", "90d", "--to", str(folder)]
    return Process(arguments, directory, {"DATABASE_URL": url})


def test_each_order_is_in_the_table_or_in_one_file(tmp_path: Path, url: str, store: Store) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    ids = set(range(1, ORDERS + 1))
    add_finished(store, sorted(ids), OrderStatus.COMPLETED, days=100)
    figures = store.statistics()
    for _ in range(KILLS):
        # What it writes next: a name, a file, its checksum, each under another name first.
        before = set(folder.iterdir())
        with archiving(tmp_path, url, folder) as process:
            process.start()
            wait_until(
                lambda: len(set(folder.glob("*.sha256")) - before) > 1,  # noqa: B023
                SECONDS,
                "a file of this run, and the beginning of another",
                every=0.001,
            )
            process.kill9_group()
        assert store.statistics() == figures
    assert store.statuses(), "all was archived before the last kill, so this test has shown little"
    with archiving(tmp_path, url, folder) as process:
        assert process.start().popen.wait(SECONDS) == 0, process.log
    assert store.statuses() == {}
    assert_each_in_one_place(store, folder, ids)
    assert store.statistics() == figures
    assert {order["outcome"] for order in orders_in(folder)} == {"Completed"}
