"""An operation over many orders whose processors are killed: it goes on where it was."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from service.storage.models import Operation, Order, OrderStatus
from service.storage.moments import utcnow
from tests.support.answers import json_of
from tests.support.databases import ONLY_MYSQL
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.service_process import Worker
from tests.support.stored_orders import add_finished

pytestmark = [pytest.mark.slow, ONLY_MYSQL]

SECONDS = 60.0
ORDERS = 20_000
NOOP = {"ORDER_HANDLER": "tests.support.order_handlers:noop"}


def test_it_ends_and_nothing_is_doubled(
    tmp_path: Path, url: str, store: Store, client: FlaskClient
) -> None:
    add_finished(store, range(1, ORDERS + 1), OrderStatus.FAILED, last_error="boom")
    # Each retry with a new key is counted in the order itself.
    body = {"action": "retry", "filter": {"error_contains": "boom"}, "new_key": True}
    number = json_of(client.post("/operations", json=body))["operation_id"]

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = json_of(client.get(f"/operations/{number}"))
        return found

    with Worker(tmp_path, url, **NOOP) as one, Worker(tmp_path, url, **NOOP) as other:
        for worker in (one, other):
            worker.start()
        wait_until(lambda: shown()["changed"] > ORDERS / 10, SECONDS, "the middle", every=0.005)
        for worker in (one, other):
            worker.kill9_group()
    halfway = shown()
    assert halfway["state"] == "Running", "it had ended before, so this test has shown nothing"
    figures = json_of(client.get("/metrics"))
    assert figures["total_orders"] == ORDERS
    assert figures["failed_orders"] == ORDERS - halfway["changed"]
    # As if the time had passed for which the dead one has it to itself.
    store.run(lambda its: its.execute(update(Operation).values(runner_until=utcnow(-1.0))))
    with Worker(tmp_path, url, **NOOP) as worker:
        worker.start()
        wait_until(lambda: shown()["state"] != "Running", SECONDS, "the operation's end")
        assert worker.stop() == 0
    ended = shown()
    assert (ended["state"], ended["changed"], ended["skipped"]) == ("Completed", ORDERS, 0)
    versions = select(Order.key_version, func.count()).group_by(Order.key_version)
    assert store.run(lambda its: its.execute(versions).all()) == [(1, ORDERS)]
    # It did not wait for the orders, of which some are still to be processed.
    statuses = Counter(store.statuses().values())
    figures = json_of(client.get("/metrics"))
    assert figures["total_orders"] == ORDERS
    assert figures["failed_orders"] == 0
    for status in ("Pending", "Processing", "Completed"):
        assert figures[f"{status.lower()}_orders"] == statuses[status]
