"""The same API as it is usually written: sync workers, look up, insert, refresh, a queue in memory.

`python -m bench.peers.naive` creates its table.
"""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask import Flask, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from marshmallow import Schema, ValidationError, fields, validate

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)
order_queue: queue.Queue[int] = queue.Queue()


class Order(db.Model):  # type: ignore[name-defined]
    """An order, with its status in a column."""

    __tablename__ = "naive_orders"

    id = db.Column(db.Integer, primary_key=True)
    order_id = db.Column(db.BigInteger, unique=True, nullable=False)
    user_id = db.Column(db.BigInteger, nullable=False)
    item_ids = db.Column(db.JSON, nullable=False)
    total_amount = db.Column(db.Numeric(12, 2), nullable=False)
    status = db.Column(db.String(20), nullable=False, default="Pending", index=True)
    created_at = db.Column(db.DateTime, nullable=False, default=lambda: datetime.now(UTC))
    processing_time = db.Column(db.Float)

    def to_dict(self) -> dict[str, Any]:
        """Return the order as the API shows it."""
        return {
            "order_id": self.order_id,
            "user_id": self.user_id,
            "item_ids": self.item_ids,
            "total_amount": float(self.total_amount),
            "status": self.status,
            "created_at": self.created_at.isoformat(),
        }


class OrderSchema(Schema):
    """The body of `POST /orders`."""

    order_id = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    user_id = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    item_ids = fields.List(fields.Integer(strict=True), required=True)
    total_amount = fields.Decimal(required=True, places=2, validate=validate.Range(min=Decimal(0)))


schema = OrderSchema()


@app.before_request
def check_credentials() -> Any:
    """Answer wrong credentials."""
    given = request.authorization
    known = (os.environ["AUTH_USERNAME"], os.environ["AUTH_PASSWORD"])
    if request.path == "/ping" or (given and (given.username, given.password) == known):
        return None
    return jsonify(error="Unauthorized access. Invalid credentials."), 401


@app.get("/ping")
def ping() -> Any:
    """Tell that the process serves."""
    return jsonify(message="success")


@app.post("/orders")
def create_order() -> Any:
    """Accept an order and queue it."""
    try:
        data = schema.load(request.get_json())
    except ValidationError as error:
        return jsonify(error=error.messages), 400
    if Order.query.filter_by(order_id=data["order_id"]).first():
        return jsonify(error="Duplicate order_id. This order already exists."), 409
    order = Order(**data)
    db.session.add(order)
    db.session.commit()
    db.session.refresh(order)
    order_queue.put(order.order_id)
    return jsonify(message="Order received", order_id=order.order_id), 201


@app.get("/orders/<int:order_id>")
def get_order(order_id: int) -> Any:
    """Show an order's status."""
    order = Order.query.filter_by(order_id=order_id).first()
    if order is None:
        return jsonify(error="Order not found"), 404
    return jsonify(order_id=order.order_id, status=order.status)


@app.get("/orders")
def list_orders() -> Any:
    """List orders, newest first."""
    limit = int(request.args.get("limit", 20))
    page = int(request.args.get("page", 1))
    found = Order.query.order_by(Order.id.desc()).paginate(page=page, per_page=limit)
    return jsonify(orders=[order.to_dict() for order in found.items], total=found.total)


@app.get("/metrics")
def metrics() -> Any:
    """Count the orders, and load the completed ones for their average."""
    completed = Order.query.filter_by(status="Completed").all()
    times = [order.processing_time for order in completed]
    return jsonify(
        total_orders=Order.query.count(),
        pending_orders=Order.query.filter_by(status="Pending").count(),
        processing_orders=Order.query.filter_by(status="Processing").count(),
        completed_orders=len(completed),
        avg_processing_time_seconds=sum(times) / len(times) if times else 0,
    )


def process_orders() -> None:
    """Process what this process has accepted."""
    with app.app_context():
        while True:
            order = Order.query.filter_by(order_id=order_queue.get()).first()
            order.status = "Processing"
            db.session.commit()
            started = time.monotonic()
            time.sleep(random.uniform(0, 0.2))  # noqa: S311 - stands for work
            order.status = "Completed"
            order.processing_time = time.monotonic() - started
            db.session.commit()


if os.environ.get("PROCESSOR", "on") == "on":
    threading.Thread(target=process_orders, daemon=True).start()

if __name__ == "__main__":
    with app.app_context():
        db.create_all()
