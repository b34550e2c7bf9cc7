"""A database so slow that leases end before the handlers begin."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import make_url

from service.dao.claims import ClaimedBatch
from service.database import Database
from service.processing.handlers import OrderTask
from service.processing.order_queue import OrderQueue
from service.processing.processor import Processor
from tests.support.databases import settings_for
from tests.support.inspection import Store
from tests.support.polling import wait_until

LEASE_SECONDS = 1.0


def test_an_order_that_never_began_has_used_no_attempt(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_orders([1])
    claim, slow = OrderQueue.claim, iter([True, True])
    attempts: list[int] = []

    def claim_slowly(orders: OrderQueue, *arguments: Any, **options: Any) -> ClaimedBatch:
        batch = claim(orders, *arguments, **options)
        if batch.claims and next(slow, False):
            time.sleep(LEASE_SECONDS + 0.1)
        return batch

    def handler(task: OrderTask) -> None:
        assert task.total_amount == Decimal(1)
        attempts.append(task.attempt)

    monkeypatch.setattr(OrderQueue, "claim", claim_slowly)
    settings = settings_for(url, processor_lease_seconds=LEASE_SECONDS, processor_threads=1)
    database = Database.open(make_url(url), 3)
    processor = Processor(database, handler, settings, on_broken=lambda: None)
    processor.start()
    wait_until(lambda: store.statuses() == {1: "Completed"}, 20, "the order's end")
    processor.stop(5)
    database.engine.dispose()
    assert attempts == [1]
    assert store.order(1).attempts == 1
