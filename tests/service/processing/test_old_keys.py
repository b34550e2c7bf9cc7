"""Idempotency keys are forgotten after `IDEMPOTENCY_KEY_DAYS`, by whichever processor is there."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, func, literal, select, update
from werkzeug.test import TestResponse

from service.storage import idempotency_keys
from service.storage.idempotency_keys import NewKey, delete_keys, insert_keys
from service.storage.models import IdempotencyKey
from service.storage.moments import utcnow
from tests.support.answers import error_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing

MINUTE, DAY = 60.0, 86_400.0


def post(client: FlaskClient, order_id: int, key: str) -> TestResponse:
    return client.post("/orders", json=order_body(order_id), headers={"Idempotency-Key": key})


def age(store: Store, seconds: float, order_ids: Collection[int]) -> None:
    """Make the keys of these orders that old."""
    chosen = update(IdempotencyKey).where(IdempotencyKey.order_id.in_(order_ids))
    store.run(lambda its: its.execute(chosen.values(created_at=utcnow(literal(-seconds)))))


def keys(store: Store) -> int:
    query = select(func.count(IdempotencyKey.key_hash))
    return store.run(lambda its: its.execute(query).scalar_one())


def test_an_old_key_is_forgotten_and_may_be_used_anew(
    client: FlaskClient, store: Store, url: str
) -> None:
    for order_id, key in ((1, "old"), (2, "young"), (3, "new")):
        assert post(client, order_id, key).status_code == 201
    age(store, 30 * DAY + MINUTE, [1])
    age(store, 30 * DAY - MINUTE, [2])
    error_of(post(client, 4, "old"), 422)
    with processing(url, lambda _task: None):
        wait_until(lambda: keys(store) == 2, SECONDS, "the end of the old key")
    answer = post(client, 4, "old")
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
    for order_id, key in ((4, "old"), (2, "young"), (3, "new")):
        again = post(client, order_id, key)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    # That an order is stored is no matter of its key.
    error_of(post(client, 1, "another"), 409)


def test_many_are_forgotten_in_batches(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = range(1, 1201), range(2001, 2101)
    rows = [NewKey(number.to_bytes(32), b"p" * 32, number, 201) for number in (*old, *young)]
    store.run(lambda its: insert_keys(its, rows))
    age(store, 31 * DAY, old)
    batches: list[int] = []

    def counted(connection: Connection, key_hashes: Collection[bytes]) -> int:
        batches.append(len(key_hashes))
        return delete_keys(connection, key_hashes)

    monkeypatch.setattr(idempotency_keys, "delete_keys", counted)
    with processing(url, lambda _task: None):
        wait_until(lambda: keys(store) == len(young), SECONDS, "the end of the old keys")
    left = select(func.min(IdempotencyKey.order_id))
    assert store.run(lambda its: its.execute(left).scalar_one()) == young[0]
    assert sum(batches) == len(old)
    assert max(batches) <= 500


@ONLY_SQLITE
def test_an_operator_chooses_the_days(client: FlaskClient, store: Store, url: str) -> None:
    for order_id in (1, 2):
        post(client, order_id, f"key-{order_id}")
    age(store, 2 * DAY + MINUTE, [1])
    age(store, 2 * DAY - MINUTE, [2])
    with processing(url, lambda _task: None, idempotency_key_days=2):
        wait_until(lambda: keys(store) == 1, SECONDS, "the end of the older key")
    assert post(client, 2, "key-2").headers["Idempotent-Replayed"] == "true"
