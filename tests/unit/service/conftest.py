"""The event loop that some parts of the service run on."""

from __future__ import annotations

import pytest

from service.server import handover
from tests.support.event_loop import Loop


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has no event loop; nor has it after the test."""
    monkeypatch.setattr(handover, "_loop", None)


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Loop:
    """This thread has an event loop, which the test turns."""
    request.getfixturevalue("no_loop")
    return Loop()
