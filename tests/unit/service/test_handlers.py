"""Which handler is loaded, and what the simulation does."""

from __future__ import annotations

import random
import time
from datetime import datetime
from decimal import Decimal

import pytest

from service.config import WEBHOOK_HANDLER, ConfigError, Settings
from service.processing.handlers import (
    OrderTask,
    load_handler,
    load_handler_or_exit,
    simulate,
)

TASK = OrderTask(
    order_id=1,
    user_id=2,
    item_ids=[3],
    total_amount=Decimal("4.00"),
    created_at=datetime(2026, 1, 1),  # noqa: DTZ001 - naive UTC, as in the database
    attempt=1,
    idempotency_token="token",
    cancelled=lambda: False,
)


@pytest.mark.parametrize("most", [0, 200])
def test_the_simulation_waits_a_random_time_in_its_bounds(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    handle = simulate(most)
    for _ in range(200):
        handle(TASK)
    assert all(0 <= wait <= most / 1000 for wait in waits)
    assert len(set(waits)) > 100 or most == 0
    if most:
        assert max(waits) > most / 2000 > min(waits)


def test_the_simulation_really_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    started = time.monotonic()
    simulate(50)(TASK)
    assert time.monotonic() - started >= 0.05


def test_the_default_is_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    handle = load_handler(Settings(simulate_max_milliseconds=5))
    for _ in range(50):
        handle(TASK)
    assert 0 < max(waits) <= 0.005


def test_any_callable_can_be_named() -> None:
    handler: object = load_handler(Settings(order_handler="time:monotonic"))
    assert handler is time.monotonic


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:handle", ["no_such_module", "import"]),
        ("json.decoder.nothing:handle", ["json.decoder.nothing", "import"]),
        ("service.config:nothing", ["service.config", "nothing", "callable"]),
        ("service.config:DEFAULT_HANDLER", ["DEFAULT_HANDLER", "callable"]),
    ],
)
def test_a_handler_that_is_not_there(name: str, words: list[str]) -> None:
    settings = Settings(order_handler=name)
    with pytest.raises(ConfigError) as caught:
        load_handler(settings)
    message = str(caught.value)
    assert message.startswith("ORDER_HANDLER")
    assert all(word in message for word in words)
    assert len(message.splitlines()) == 1
    with pytest.raises(SystemExit, match="ORDER_HANDLER"):
        load_handler_or_exit(settings)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(order_handler=WEBHOOK_HANDLER),
        Settings(order_handler=WEBHOOK_HANDLER, webhook_url="http://x/"),
        Settings(order_handler=WEBHOOK_HANDLER, webhook_secret="s"),
    ],
    ids=["neither", "only the URL", "only the secret"],
)
def test_the_webhook_needs_both(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_URL and WEBHOOK_SECRET"):
        load_handler(settings)
