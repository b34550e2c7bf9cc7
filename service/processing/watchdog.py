"""Ends this process when nothing in it runs any more, as when a handler never releases Python's
lock.

The timer is a thread of the C library's, which needs no lock of Python's. A thread of Python's own
winds it up again and again, as long as it gets the lock.
"""

from __future__ import annotations

import faulthandler
import threading

# Seconds that a handler may take longer than it is allowed to, before its process is ended; and
# how often the timer is wound up.
PATIENCE = 5.0
TICK = 0.5
STDERR = 2


class Watchdog:
    """From `start` to `stop`, ends the process once no thread has run for `seconds`.

    It writes the stacks of all threads then, so that the handler is found.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=STDERR)
            self._stopping.wait(TICK)
        faulthandler.cancel_dump_traceback_later()
