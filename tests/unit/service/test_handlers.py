"""Which handlers are accepted, what a call of them does, and what the simulation does."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from service.config import ConfigError, Settings
from service.processing.handlers.loading import load_handler
from service.processing.handlers.simulate import simulate
from service.setting_values import WEBHOOK_HANDLER
from tests.support import handler_kinds
from tests.support.handler_kinds import TASK


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    handler_kinds.done.clear()


def kind(name: str) -> Settings:
    """Return the settings that name one of `handler_kinds`."""
    return Settings(order_handler=f"tests.support.handler_kinds:{name}")


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


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "coroutine", "bound", "bound_coroutine", "of_a_class"),
        *("callable_object", "callable_coroutine"),
        *("partial", "partial_coroutine", "partial_of_partial"),
        *("decorated", "with_defaults", "with_any", "returns_coroutine"),
    ],
)
def test_a_call_does_the_work_to_its_end(name: str) -> None:
    load_handler(kind(name))(TASK)
    assert handler_kinds.done == [TASK.order_id]


def refusal(settings: Settings) -> str:
    """Return the line that refuses the handler."""
    with pytest.raises(ConfigError) as caught:
        load_handler(settings)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert handler_kinds.done == [], "it was called to find out"
    return message


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("generator partial_generator callable_generator async_generator", "is a generator"),
        ("AClass partial_class", "is a class"),
        ("without_parameter with_discount later_with_discount", "with one argument"),
        ("keyword_only unbound", "with one argument"),
    ],
)
def test_what_would_not_do_the_work_is_refused(names: str, words: str) -> None:
    for name in names.split():
        message = refusal(kind(name))
        assert message.startswith(f"ORDER_HANDLER: tests.support.handler_kinds:{name} ")
        assert words in message
        assert "expected" in message


@pytest.mark.parametrize(
    "name", ["returns_generator", "returns_async_generator", "returns_future", "returns_awaitable"]
)
def test_what_returns_before_the_work_is_done_fails(name: str) -> None:
    with pytest.raises(TypeError, match="did no work yet; expected"):
        load_handler(kind(name))(TASK)


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
    message = refusal(Settings(order_handler=name))
    assert message.startswith("ORDER_HANDLER")
    assert all(word in message for word in words)


@pytest.mark.parametrize("problem", ["ImportError('one\\ntwo')", "SystemExit('one\\ntwo')"])
def test_a_module_that_fails_in_several_lines_is_refused_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    (tmp_path / "broken_shop.py").write_text(f"raise {problem}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "one two" in refusal(Settings(order_handler="broken_shop:handle"))


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
    assert "WEBHOOK_URL and WEBHOOK_SECRET" in refusal(settings)


def test_the_webhook_needs_a_host() -> None:
    settings = Settings(
        order_handler=WEBHOOK_HANDLER, webhook_url="http://shop\\example/", webhook_secret="s"
    )
    assert refusal(settings).startswith("WEBHOOK_URL: ")
