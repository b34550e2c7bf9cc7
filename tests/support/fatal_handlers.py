"""Order handlers for tests that harm the process that runs them."""

from __future__ import annotations

import ctypes
import threading

from service.processing.handlers import OrderTask


def end_dispatcher(_task: OrderTask) -> None:
    """Let the thread that claims orders die, as a mistake in it would."""
    [thread] = [one for one in threading.enumerate() if one.name == "dispatcher"]
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
    )
