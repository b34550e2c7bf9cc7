"""One after the other, and nobody waits for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service import turns


def test_one_that_never_ends_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "one.lock"
    busy = pytest.raises(turns.Busy, match=rf"has held {lock} for 0\.1 s; see who: sudo lslocks")
    with turns.held(lock), busy, turns.held(lock, 0.1):
        pass
    with turns.held(lock, 0.1):
        pass


def test_the_next_one_does_not_find_it_busy(root: Path) -> None:
    for _ in range(2):
        with turns.in_turn("one"):
            assert (root / "run/order-service-one.lock").exists()
