"""The handler that only waits."""

from __future__ import annotations

import random
import time

from service.processing.handlers import Handler, OrderTask


def simulate(max_milliseconds: int) -> Handler:
    """Make a handler that only waits, a random time from 0 to `max_milliseconds`."""

    def handle(_task: OrderTask) -> None:
        time.sleep(random.uniform(0, max_milliseconds / 1000))  # noqa: S311 - not a secret

    return handle
