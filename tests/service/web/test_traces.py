"""Who posted an order, and in which trace: stored with it, for those who process it."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from service.storage.models import Order
from service.telemetry import tracing
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

TRACES = [f"00-{number:032x}-{number:016x}-01" for number in (0xAB, 0xCD, 0xEF)]
TRACE = TRACES[0]


def stored(store: Store) -> dict[int, tuple[str | None, str | None]]:
    """Return the client and the trace of each order."""
    query = select(Order.order_id, Order.client, Order.traceparent)
    return {
        row.order_id: (row.client, row.traceparent)
        for row in store.run(lambda connection: connection.execute(query).all())
    }


@pytest.mark.parametrize("key", [None, "key"])
def test_both_are_stored_with_the_order(client: FlaskClient, store: Store, key: str | None) -> None:
    keys = {} if key is None else {"Idempotency-Key": key}
    for number, given in ((1, {"traceparent": TRACE}), (2, {})):
        headers = given | {name: f"{text}{number}" for name, text in keys.items()}
        assert client.post("/orders", json=order_body(number), headers=headers).status_code == 201
    assert stored(store) == {1: ("admin", TRACE), 2: ("admin", None)}


@ONLY_SQLITE
@pytest.mark.parametrize(
    "given", ["", TRACE.upper(), f"01{TRACE[2:]}", f"{TRACE},{TRACE}", "0" * 55, "a" * 5000]
)
def test_what_is_no_trace_is_not_stored_and_harms_nobody(
    client: FlaskClient, store: Store, given: str
) -> None:
    answer = client.post("/orders", json=order_body(1), headers={"traceparent": given})
    assert answer.status_code == 201
    assert stored(store) == {1: ("admin", None)}


def test_a_repeat_in_another_trace_is_the_same_payload(client: FlaskClient, store: Store) -> None:
    answers = [
        client.post(
            "/orders",
            json=order_body(1),
            headers={"Idempotency-Key": "key", "traceparent": trace},
        )
        for trace in TRACES
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed == [None, "true", "true"]
    assert stored(store) == {1: ("admin", TRACE)}


@ONLY_SQLITE
def test_no_request_has_the_trace_of_the_one_before(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/seen", view_func=lambda: {"trace": tracing.current.get()})
    for headers, trace in (
        ({"traceparent": TRACE}, TRACE),
        ({}, None),
        ({"traceparent": "nonsense"}, None),
    ):
        assert client.get("/seen", headers=headers).get_json() == {"trace": trace}
        assert tracing.current.get() is None
