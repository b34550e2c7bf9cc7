"""`/orders`."""

from __future__ import annotations

from decimal import Decimal

from service.openapi.answers import answer
from service.openapi.details import BODY, DATABASE, Details, answer_object, page_of
from service.openapi.fields import ID, STATUS
from service.web.processing_schemas import AttemptSchema
from service.web.schemas import FullOrderSchema, ListQuerySchema, NewOrderSchema, ViewQuerySchema

ANSWERS = (FullOrderSchema, AttemptSchema)
TAG = "Orders"
NEW = {"order_id": 123, "user_id": 456, "item_ids": [1, 2, 3], "total_amount": Decimal("150.75")}
FULL = NEW | {
    "status": "Completed",
    "attempts": 1,
    "created_at": "2026-11-22T18:39:24.492919Z",
    "updated_at": "2026-11-22T18:39:24.663267Z",
    "next_attempt_at": None,
    "processing_time_seconds": Decimal("0.153858"),
    "last_error": None,
}
ATTEMPT = {
    "attempt": 1,
    "started_at": "2026-11-22T18:39:24.510019Z",
    "ended_at": "2026-11-22T18:39:24.663267Z",
    "result": "failed",
    "error": "ConnectionError: webhook: answered with status 500",
    "worker": "orders-1:4711:0c1e77aa",
}
RECEIVED = answer_object(
    {"message": {"type": "string", "enum": ["Order received"]}, "order_id": ID}
)
STATUS_OF_ORDER = answer_object({"order_id": ID, "status": STATUS})
FULL_OR_STATUS = {"oneOf": [STATUS_OF_ORDER, {"$ref": "#/components/schemas/FullOrder"}]}
ATTEMPTS = answer_object(
    {"attempts": {"type": "array", "items": {"$ref": "#/components/schemas/Attempt"}}}
)
CANCELLED = answer_object({"order_id": ID, "status": {"type": "string", "enum": ["Cancelled"]}})
KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": (
        "One for each order. The same key with the same order gets the first answer again, and"
        " with another order 422. Keys are kept for 30 days, unless the service was set otherwise."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "example": "checkout-8c1f6f0e",
}
DETAILS = {
    "orders.create_order": Details(
        TAG,
        {
            "201": answer(
                "The order is stored.",
                RECEIVED,
                {"message": "Order received", "order_id": 123},
                "Location",
                "Idempotent-Replayed",
            )
        },
        (
            *BODY,
            "invalid_idempotency_key",
            "duplicate_order",
            "idempotency_key_reused",
            *DATABASE,
            "outcome_unknown",
        ),
        headers=(KEY,),
        body=NewOrderSchema,
        body_examples={
            "order": {"value": NEW},
            "largest": {
                "summary": "The largest numbers",
                "value": {
                    "order_id": 2**63 - 1,
                    "user_id": 2**63 - 1,
                    "item_ids": [2**63 - 1],
                    "total_amount": Decimal("9999999999.99"),
                },
            },
        },
    ),
    "orders.get_order": Details(
        TAG,
        {
            "200": answer(
                "Its status; the whole order for `view=full`.",
                FULL_OR_STATUS,
                {"order_id": 123, "status": "Processing"},
            )
        },
        ("validation_failed", "order_not_found", *DATABASE),
        query=ViewQuerySchema,
    ),
    "orders.list_orders": Details(
        TAG,
        {"200": answer("A page.", *page_of("orders", FullOrderSchema, FULL))},
        description=(
            "Filters may be combined. A page costs about the same whatever is asked for. So a page"
            " may have fewer orders than `limit`, or none, although there are more: as long as"
            " `next` is not null, the list goes on there."
        ),
        query=ListQuerySchema,
    ),
    "orders.list_attempts": Details(
        TAG,
        {"200": answer("The attempts.", ATTEMPTS, {"attempts": [ATTEMPT]})},
        ("validation_failed", "order_not_found", *DATABASE),
    ),
    "orders.cancel_order": Details(
        TAG,
        {
            "200": answer(
                "It is cancelled, now or before.",
                CANCELLED,
                {"order_id": 123, "status": "Cancelled"},
            )
        },
        ("validation_failed", "order_not_found", "order_not_pending", *DATABASE),
        description="With `orders:write` alone a client cancels the orders that it has posted.",
    ),
}
