"""Order handlers: what processing an order means.

A handler is a callable, sync or `async`, that takes one `OrderTask`. It returns when the order is
done, raises `OrderRejected` when the order can never be done, `ReceiverAway` when whoever has to do
it is not there, and raises anything else to be called again later. It may be called more than once
for one order, so it has to make its effect idempotent, by the task's `idempotency_token`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

# Seconds for which a receiver is left alone at most, whatever it asks for.
LONGEST_RETRY_AFTER = 86_400.0


class OrderRejected(Exception):
    """The order can never be processed: it becomes Failed without further attempts."""


class ReceiverAway(Exception):
    """Whoever has to do the work cannot be reached, or wants to be left alone.

    That is not the order's fault. All processors wait, `retry_after` seconds if it is given, and
    then try with one order at a time.
    """

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def seconds(self) -> float:
        """`retry_after`, as a number from 0 to `LONGEST_RETRY_AFTER`."""
        try:
            seconds = float(self.retry_after or 0.0)
        except (TypeError, ValueError, OverflowError):
            return 0.0
        return 0.0 if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class OrderTask:
    """One attempt at one order.

    `idempotency_token` is the same for each attempt at the order, unless an operator has retried it
    with a new key; `attempt` counts from 1, and `cancelled()` turns true when the result is not
    wanted any more: the lease was lost, the attempt took too long, or the service stops.
    `traceparent` is what calls to other services send, for the trace (W3C) in which the order was
    posted; None if there is none.
    """

    order_id: int
    user_id: int
    item_ids: list[int]
    total_amount: Decimal
    created_at: datetime
    attempt: int
    idempotency_token: str
    cancelled: Callable[[], bool]
    traceparent: str | None = None


Handler = Callable[[OrderTask], object]
