"""`Idempotency-Key`: a client that saw a time-out can ask again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete
from werkzeug.test import TestResponse

from service.storage.models import Order
from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store
from tests.support.service_process import AUTHORIZATION

DUPLICATE = "Duplicate order_id. This order already exists."


def post(client: FlaskClient, body: object, key: str | None = "key") -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/orders", json=body, headers=headers)


def test_the_first_answer_is_no_replay(client: FlaskClient) -> None:
    answer = post(client, order_body(1))
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers


def test_the_same_request_is_answered_the_same(client: FlaskClient, store: Store) -> None:
    first = post(client, order_body(1))
    for _ in range(3):
        again = post(client, order_body(1))
        assert again.status_code == 201
        assert again.data == first.data
        assert again.headers["Location"] == "/orders/1"
        assert again.headers["Idempotent-Replayed"] == "true"
    assert store.statuses() == {1: "Pending"}


@ONLY_SQLITE
@pytest.mark.parametrize(
    "body",
    [
        '{"total_amount":150.75,"item_ids":[1,2,3],"user_id":456,"order_id":1}',
        '\n{ "order_id" : 1, "user_id":456, "item_ids": [ 1,2,3 ], "total_amount": 1.5075e2 }\t',
        '{"order_\\u0069d":1,"user_id":456,"item_ids":[1,2,3],"total_amount":150.750}',
    ],
    ids=["order of fields", "spaces and exponent", "escape and zero"],
)
def test_the_same_payload_written_otherwise(client: FlaskClient, body: str) -> None:
    post(client, order_body(1))
    headers = {"Idempotency-Key": "key"}
    again = client.post("/orders", data=body, content_type="application/json", headers=headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")


@ONLY_SQLITE
@pytest.mark.parametrize(
    "other",
    [{"user_id": 457}, {"item_ids": [1, 3, 2]}, {"item_ids": [1, 2]}, {"total_amount": 150.76}],
    ids=str,
)
def test_another_payload_is_refused(
    client: FlaskClient, store: Store, other: dict[str, object]
) -> None:
    post(client, order_body(1))
    answer = post(client, order_body(1, **other))
    assert isinstance(error_of(answer, 422), str)
    assert "Idempotent-Replayed" not in answer.headers
    assert store.order(1).user_id == 456


def test_the_key_of_another_order_is_refused(client: FlaskClient, store: Store) -> None:
    post(client, order_body(1))
    error_of(post(client, order_body(2)), 422)
    assert store.statuses() == {1: "Pending"}
    assert post(client, order_body(1)).status_code == 201


def test_a_refused_payload_leaves_the_first_answer(client: FlaskClient) -> None:
    post(client, order_body(1))
    post(client, order_body(1, user_id=9))
    assert post(client, order_body(1)).headers["Idempotent-Replayed"] == "true"


def test_a_duplicate_is_replayed_as_a_duplicate(client: FlaskClient) -> None:
    post(client, order_body(1), key=None)
    first = post(client, order_body(1))
    assert error_of(first, 409) == DUPLICATE
    assert "Idempotent-Replayed" not in first.headers
    again = post(client, order_body(1))
    assert error_of(again, 409) == DUPLICATE
    assert again.headers["Idempotent-Replayed"] == "true"


def test_another_key_for_a_stored_order_is_a_duplicate(client: FlaskClient) -> None:
    post(client, order_body(1), key="a")
    assert error_of(post(client, order_body(1), key="b"), 409) == DUPLICATE
    assert error_of(post(client, order_body(1), key=None), 409) == DUPLICATE
    assert post(client, order_body(1), key="a").status_code == 201


def test_a_bad_order_does_not_take_the_key(client: FlaskClient) -> None:
    error_of(post(client, order_body(1, user_id=0)), 400)
    assert "Idempotent-Replayed" not in post(client, order_body(1)).headers


def test_a_replay_is_remembered_by_the_key_alone(client: FlaskClient, store: Store) -> None:
    post(client, order_body(1))
    store.run(lambda connection: connection.execute(delete(Order)))
    again = post(client, order_body(1))
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")


@pytest.mark.parametrize(
    ("one", "other"), [("key", "KEY"), ("a" * 255, "a" * 254), ("a b", "a b ")]
)
def test_similar_keys_are_different(client: FlaskClient, one: str, other: str) -> None:
    assert post(client, order_body(1), key=one).status_code == 201
    assert post(client, order_body(2), key=other).status_code == 201
    assert post(client, order_body(1), key=one).headers["Idempotent-Replayed"] == "true"


@ONLY_SQLITE
@pytest.mark.parametrize("key", ["k", "k" * 255, "".join(map(chr, range(32, 127)))])
def test_any_printable_key(client: FlaskClient, key: str) -> None:
    assert post(client, order_body(1), key=key).status_code == 201
    assert post(client, order_body(1), key=key).headers["Idempotent-Replayed"] == "true"


def at_once(app: Flask, bodies: list[dict[str, object]], key: str | None) -> list[TestResponse]:
    """Send all bodies at the same time."""
    headers = AUTHORIZATION | ({} if key is None else {"Idempotency-Key": key})

    def send(body: dict[str, object]) -> TestResponse:
        return app.test_client().post("/orders", json=body, headers=headers)

    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(send, bodies))


def test_one_of_many_at_once_is_the_first(app: Flask, store: Store) -> None:
    for order_id in range(1, 6):
        answers = at_once(app, [order_body(order_id)] * 8, f"key-{order_id}")
        assert [answer.status_code for answer in answers] == [201] * 8
        firsts = [one for one in answers if "Idempotent-Replayed" not in one.headers]
        assert len(firsts) == 1
    assert len(store.statuses()) == 5


def test_one_payload_of_many_at_once_wins_the_key(app: Flask, store: Store) -> None:
    answers = at_once(app, [order_body(order_id) for order_id in range(1, 9)], "key")
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
    [winner] = [json_of(one)["order_id"] for one in answers if one.status_code == 201]
    assert store.statuses() == {winner: "Pending"}


def test_one_of_many_duplicates_at_once_is_stored(app: Flask, store: Store) -> None:
    answers = at_once(app, [order_body(1, user_id=user) for user in range(1, 9)], None)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert store.statuses() == {1: "Pending"}
