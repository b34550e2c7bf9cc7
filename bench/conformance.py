"""What each peer must do right before it is measured: the heart of the contract."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import urllib3

# Largest and most awkward amount: with a float on the way, a cent gets lost sooner or later.
AMOUNT = "9999999999.99"
FIRST_ID = 1


class ConformanceError(Exception):
    """A peer does something else than the contract says; says what."""


class Conformance:
    """Checks one server, which stores no order yet, and keeps two of them.

    Args:
        ca: the certificate of the authority to verify the server with.
    """

    def __init__(self, name: str, url: str, authorization: str, ca: Path | None = None) -> None:
        self._name = name
        self._url = url
        self._headers = {"Authorization": authorization}
        self._pool = urllib3.PoolManager(retries=False, timeout=30, ca_certs=ca and str(ca))

    def check(self) -> None:
        """Check everything.

        Raises:
            ConformanceError: the server fell short.
        """
        new, unknown = FIRST_ID, FIRST_ID + 1
        body = self._body(new)
        self._expect(401, "GET", f"/orders/{new}", headers={})
        self._expect(401, "POST", "/orders", body, headers={})
        self._expect(404, "GET", f"/orders/{new}")
        answer = self._expect(201, "POST", "/orders", body)
        self._same("the answer to an order", answer.get("order_id"), new)
        self._expect(409, "POST", "/orders", body)
        self._expect(400, "POST", "/orders", json.dumps({"order_id": unknown}))
        self._expect(404, "GET", f"/orders/{unknown}")
        self._expect(201, "POST", "/orders", self._body(unknown))
        order = self._expect(200, "GET", f"/orders/{new}")
        self._same("an order", order, {"order_id": new, "status": "Pending"})
        listed = self._expect(200, "GET", "/orders?limit=2")["orders"]
        self._same("the newest orders", [one["order_id"] for one in listed], [unknown, new])
        self._same("the amount", listed[0]["total_amount"], Decimal(AMOUNT))
        self._same("the items", listed[0]["item_ids"], [1, 2, 3])
        metrics = self._expect(200, "GET", "/metrics")
        self._same("the pending orders", metrics["pending_orders"], 2)

    @staticmethod
    def _body(order_id: int) -> str:
        head = f'{{"order_id": {order_id}, "user_id": 456, "item_ids": [1, 2, 3], '
        return f'{head}"total_amount": {AMOUNT}}}'

    def _expect(
        self,
        status: int,
        method: str,
        path: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        sent = self._headers if headers is None else headers
        if body is not None:
            sent = sent | {"Content-Type": "application/json"}
        answer = self._pool.request(method, self._url + path, body=body, headers=sent)
        self._same(f"the status of {method} {path}", answer.status, status)
        return json.loads(answer.data, parse_float=Decimal)

    def _same(self, what: str, actual: object, expected: object) -> None:
        if actual != expected:
            raise ConformanceError(
                f"{self._name} is not measured: {what} is {actual!r}; expected {expected!r}"
            )
