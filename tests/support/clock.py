"""Time without waiting."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """Time that passes when somebody sleeps; in the place of a module's `time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        """Return the seconds so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.on_sleep()
