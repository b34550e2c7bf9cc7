"""What a process has at this moment, such as connections in use: looked at once a second, so that
no request and no order pays for it, and any worker can tell it of all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from prometheus_client import Gauge

log = logging.getLogger(__name__)

SECONDS = 1.0


def start_sampler(
    readings: Mapping[Gauge, Callable[[], float]], seconds: float = SECONDS
) -> threading.Event:
    """Set each gauge to what its reading returns, again and again in a thread, until the event
    that is returned is set."""
    end = threading.Event()
    arguments = (readings, seconds, end)
    threading.Thread(target=_sample, args=arguments, name="sampler", daemon=True).start()
    return end


def _sample(
    readings: Mapping[Gauge, Callable[[], float]], seconds: float, end: threading.Event
) -> None:
    while True:
        for gauge, read in readings.items():
            try:
                gauge.set(read())
            except Exception:
                log.exception("a figure cannot be read")
                return
        if end.wait(seconds):
            return
