"""Containers, by their names: whether they are healthy."""

from __future__ import annotations

import time
from collections.abc import Sequence

from order_service.host import run

# Empty where there is no health check.
HEALTH = "{{with .State.Health}}{{.Status}}{{end}}"
EVERY_SECONDS = 0.5


def wait_until_healthy(names: Sequence[str], seconds: float) -> dict[str, str]:
    """Wait for those that have a health check; Compose would also compare what they are.

    Returns:
        What the others' health checks say when the time is over, by name; empty when all is well.

    Raises:
        CommandError: one of them is not there.
    """
    deadline = time.monotonic() + seconds
    while True:
        states = {name: health(name) for name in names}
        ill = {name: state for name, state in states.items() if state not in ("", "healthy")}
        if not ill or time.monotonic() > deadline:
            return ill
        time.sleep(EVERY_SECONDS)


def health(name: str) -> str:
    """Return what a container's health check says; empty where it has none.

    Raises:
        CommandError: there is no such container.
    """
    return run(["docker", "inspect", "--format", HEALTH, name]).strip()
