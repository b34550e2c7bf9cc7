"""Processors take a sample of the figures each minute, one for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from service.processing import housekeeper
from service.storage import samples
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing


def taken(store: Store) -> Sequence[Any]:
    return store.run(lambda its: samples.list_samples(its, minutes=60))


def test_the_first_of_several_processors_takes_it(url: str, store: Store) -> None:
    with processing(url, lambda _task: None), processing(url, lambda _task: None):
        found = wait_until(lambda: taken(store), SECONDS, "a sample")
    assert found[0].minute in (found[0].now, found[0].now - 1)
    minutes = [one.minute for one in taken(store)]
    assert len(set(minutes)) == len(minutes) <= 2


def test_the_next_one_is_taken_when_its_minute_begins(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time, it is asked when the next minute begins; here that is at once."""
    monkeypatch.setattr(housekeeper, "SAMPLE_JITTER", 0.0)
    asked: list[bool] = []

    def is_due(connection: Any) -> tuple[bool, float]:
        due, _ = actual(connection)
        asked.append(due)
        return due, 0.05

    actual = samples.is_due
    monkeypatch.setattr(samples, "is_due", is_due)
    with processing(url, lambda _task: None):
        wait_until(lambda: len(asked) > 3, SECONDS, "several looks")
    assert asked[0] is True
    assert asked.count(True) <= 2  # in another minute, perhaps
