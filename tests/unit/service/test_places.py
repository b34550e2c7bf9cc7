"""Places: how many use the database at once, and how long the next ones wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from service.storage import places as module
from service.storage.failures import Overloaded
from service.storage.places import Places
from tests.support.polling import wait_until

SECONDS = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as made:
        yield made


def take(places: Places) -> bool:
    with places.take():
        return True


def test_who_finds_a_place_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0)
    places = Places(2)
    with places.take(), places.take():
        pass
    assert take(places)


def test_one_more_waits_for_a_place(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", SECONDS)
    places = Places(1)
    began = threading.Event()

    def wait() -> bool:
        began.set()
        return take(places)

    with places.take():
        waiting = pool.submit(wait)
        assert began.wait(SECONDS)
        assert not waiting.done()
    assert waiting.result(SECONDS)


def test_where_no_place_changes_hands_the_next_ones_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = Places(1)
    with places.take():
        with pytest.raises(Overloaded):
            take(places)
        # Now nobody waits, however long a wait might be.
        later = time.monotonic() + 1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        for _ in range(1000):
            with pytest.raises(Overloaded):
                take(places)
    assert take(places), "its place is free for the next one"


def test_a_place_is_left_whatever_happens(pool: ThreadPoolExecutor) -> None:
    places = Places(3)
    for _ in range(10):
        with pytest.raises(KeyError), places.take():
            raise KeyError
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(places.take())
    held = [pool.submit(take, places) for _ in range(30)]
    wait_until(lambda: all(one.done() for one in held), SECONDS, "their end")
    assert all(one.result() for one in held)
