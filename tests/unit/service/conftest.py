"""A webhook's receiver, and what makes the handler that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal

import pytest

from service.config import Settings
from service.processing.handlers import Handler, OrderTask
from service.processing.handlers.coroutines import EventLoop, run_on
from service.processing.handlers.webhook import Webhook
from service.setting_values import WEBHOOK_HANDLER
from tests.support.hook_receiver import HookReceiver, open_receiver

# Makes a webhook's handler for the address and the settings that it is called with.
MakeHook = Callable[..., Handler]
PLAIN_SECRET = "s3cret-é"


@pytest.fixture
def task() -> OrderTask:
    """The first attempt at an order of the largest numbers."""
    return OrderTask(
        order_id=2**63 - 1,
        user_id=456,
        item_ids=[1, 2, 3],
        total_amount=Decimal("9999999999.99"),
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678_000),  # noqa: DTZ001 - naive UTC
        attempt=1,
        idempotency_token="order-9223372036854775807",
        cancelled=lambda: False,
    )


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    """A receiver on a port of its own, until the test ends."""
    with open_receiver() as found:
        yield found


@pytest.fixture(scope="session")
def event_loop() -> EventLoop:
    """The loop that all tests' webhooks run on."""
    return EventLoop()


@pytest.fixture
def make_hook(event_loop: EventLoop) -> Iterator[MakeHook]:
    """What makes a handler as `load_handler` does; its connections are closed in the end."""
    made = []

    def make(url: str, **settings: object) -> Handler:
        values = {"webhook_secret": PLAIN_SECRET, **settings}
        webhook = Webhook.from_settings(
            Settings(order_handler=WEBHOOK_HANDLER, webhook_url=url, **values)  # type: ignore[arg-type]
        )
        made.append(webhook)
        return run_on(event_loop, webhook)

    yield make
    for webhook in made:
        event_loop.run(webhook.close(), lambda: True)


@pytest.fixture
def hook(make_hook: MakeHook, receiver: HookReceiver) -> Handler:
    """The handler that calls the receiver."""
    return make_hook(receiver.url)
