"""Order handlers: what processing an order means.

A handler is a callable that takes one `OrderTask`. It returns when the order is done, raises
`OrderRejected` when the order can never be done, and raises anything else to be called again
later. It may be called more than once for one order, so it has to make its effect idempotent, by
the task's `idempotency_token`.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import simplejson
import urllib3

from service.config import DEFAULT_HANDLER, WEBHOOK_HANDLER, ConfigError, Settings
from service.storage.moments import format_moment

WEBHOOK_CONNECT_TIMEOUT = 3.0
WEBHOOK_READ_TIMEOUT = 10.0
SIGNATURE_HEADER = "X-Signature-256"
# Client errors that a later call may not meet: time-out, too early, too many requests.
RETRYABLE_CLIENT_ERRORS = (408, 425, 429)


class OrderRejected(Exception):
    """The order can never be processed: it becomes Failed without further attempts."""


@dataclass(frozen=True, slots=True)
class OrderTask:
    """One attempt at one order.

    `idempotency_token` is the same for each attempt at the order, `attempt` counts from 1, and
    `cancelled()` turns true when the result is not wanted any more: the lease was lost, the
    attempt took too long, or the service stops.
    """

    order_id: int
    user_id: int
    item_ids: list[int]
    total_amount: Decimal
    created_at: datetime
    attempt: int
    idempotency_token: str
    cancelled: Callable[[], bool]


Handler = Callable[[OrderTask], object]


def load_handler(settings: Settings) -> Handler:
    """Return the handler that `ORDER_HANDLER` names.

    Raises:
        ConfigError: there is no such module or callable.
    """
    if settings.order_handler == DEFAULT_HANDLER:
        return simulate(settings.simulate_max_milliseconds)
    if settings.order_handler == WEBHOOK_HANDLER:
        if settings.webhook_url is None or settings.webhook_secret is None:
            raise ConfigError("WEBHOOK_URL and WEBHOOK_SECRET are needed by the webhook handler")
        return webhook(
            settings.webhook_url, settings.webhook_secret.encode(), settings.processor_threads
        )
    return _import_handler(settings.order_handler)


def load_handler_or_exit(settings: Settings) -> Handler:
    """Return the handler, or end the program with one line that says what is wrong."""
    try:
        return load_handler(settings)
    except ConfigError as problem:
        sys.exit(f"order-service: {problem}")


def _import_handler(name: str) -> Handler:
    module_name, _, attribute = name.partition(":")
    try:
        handler = getattr(importlib.import_module(module_name), attribute, None)
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - others' code may raise anything
        raise ConfigError(
            f"ORDER_HANDLER: cannot import {module_name!r} ({type(problem).__name__}: {problem});"
            " expected a module on the Python path"
        ) from None
    if not callable(handler):
        raise ConfigError(
            f"ORDER_HANDLER: {module_name!r} has no callable {attribute!r};"
            " expected module:callable"
        )
    return handler  # type: ignore[no-any-return]


def simulate(max_milliseconds: int) -> Handler:
    """Make a handler that only waits, a random time from 0 to `max_milliseconds`."""

    def handle(_task: OrderTask) -> None:
        time.sleep(random.uniform(0, max_milliseconds / 1000))  # noqa: S311 - not a secret

    return handle


def webhook(url: str, secret: bytes, connections: int) -> Handler:
    """Make a handler that POSTs each order to `url`, over at most `connections` connections.

    The body is signed: `X-Signature-256: sha256=<hex HMAC-SHA256 of the body>`; the token is the
    `Idempotency-Key`. 2xx is success, 4xx (but 408, 425 and 429) raises `OrderRejected`, and
    anything else, redirects included, is worth another attempt.
    """
    pool = urllib3.PoolManager(maxsize=max(1, connections), retries=False)
    timeout = urllib3.Timeout(connect=WEBHOOK_CONNECT_TIMEOUT, read=WEBHOOK_READ_TIMEOUT)

    def handle(task: OrderTask) -> None:
        body = _webhook_body(task)
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        try:
            response = pool.request(
                "POST",
                url,
                body=body,
                headers={
                    "Content-Type": "application/json",
                    "User-Agent": "order-service",
                    "Idempotency-Key": task.idempotency_token,
                    SIGNATURE_HEADER: f"sha256={signature}",
                },
                timeout=timeout,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as problem:
            raise ConnectionError(f"webhook: no answer ({type(problem).__name__})") from problem
        _judge(response.status)

    return handle


def _webhook_body(task: OrderTask) -> bytes:
    body: str = simplejson.dumps(
        {
            "order_id": task.order_id,
            "user_id": task.user_id,
            "item_ids": task.item_ids,
            "total_amount": task.total_amount,
            "created_at": format_moment(task.created_at),
            "attempt": task.attempt,
            "idempotency_token": task.idempotency_token,
        },
        use_decimal=True,
    )
    return body.encode()


def _judge(status: int) -> None:
    if 200 <= status < 300:  # noqa: PLR2004 - the class of success, RFC 9110
        return
    if 400 <= status < 500 and status not in RETRYABLE_CLIENT_ERRORS:  # noqa: PLR2004
        raise OrderRejected(f"webhook: refused with status {status}")
    raise ConnectionError(f"webhook: answered with status {status}")
