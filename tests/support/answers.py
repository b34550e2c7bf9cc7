"""What every answer of the service has in common."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import simplejson
from werkzeug.test import TestResponse

UNAUTHORIZED = {"error": "Unauthorized access. Invalid credentials."}
# The fields of a whole order.
FULL_FIELDS = {
    "order_id",
    "user_id",
    "item_ids",
    "total_amount",
    "status",
    "attempts",
    "created_at",
    "updated_at",
    "next_attempt_at",
    "processing_time_seconds",
    "last_error",
}


def json_of(answer: TestResponse) -> Any:
    """Return the JSON body, amounts as Decimal; fail when the answer is anything but JSON."""
    assert answer.mimetype == "application/json", answer.headers
    assert "traceback" not in answer.text.lower()
    return simplejson.loads(answer.text, parse_float=Decimal)


def error_of(answer: TestResponse, status: int) -> Any:
    """Return what an error answer says; fail when it has another status or another form."""
    assert answer.status_code == status, answer.text
    body = json_of(answer)
    assert list(body) == ["error"]
    assert body["error"]
    return body["error"]
