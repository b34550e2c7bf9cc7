"""`/orders` to the letter of its contract."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.support.databases import order_body


def test_accepts_an_order(client: FlaskClient) -> None:
    answer = client.post("/orders", json=order_body(123))
    assert answer.status_code == 201
    assert answer.json == {"message": "Order received", "order_id": 123}
    assert answer.headers["Location"] == "/orders/123"
    assert client.get("/orders/123").json == {"order_id": 123, "status": "Pending"}


def test_refuses_a_duplicate(client: FlaskClient) -> None:
    client.post("/orders", json=order_body(123))
    answer = client.post("/orders", json=order_body(123, user_id=9))
    assert answer.status_code == 409
    assert answer.json == {"error": "Duplicate order_id. This order already exists."}
