"""Order handlers for tests. Each notes its calls in the file that CALLS_FILE names.

What an order needs is told by its user_id, so that one handler serves several cases.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from enum import IntEnum

from service.processing.handlers import OrderRejected, OrderTask

SLOW_SECONDS = 1.5
HELD_AFTER = 0.2


class Behaviour(IntEnum):
    """What the handler does with an order: its user_id."""

    FINE = 1
    SLOW = 2
    KILLS = 3
    HANGS = 4
    HOLDS_LOCK = 5


def note(task: OrderTask, what: str) -> None:
    """Append one line; a short append to a file is never mixed with another process's."""
    line = f"{os.getpid()} {what} {task.order_id} {task.attempt} {task.idempotency_token}\n"
    descriptor = os.open(os.environ["CALLS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def noop(_task: OrderTask) -> None:
    """Do nothing."""


def tell_tracing(_task: OrderTask) -> None:
    """Fail with whether OpenTelemetry is loaded in this process."""
    raise OrderRejected(f"loaded: {'opentelemetry' in sys.modules}")


def record_span(_task: OrderTask) -> None:
    """Record a span, as a handler may that uses OpenTelemetry itself."""
    from opentelemetry import trace  # noqa: PLC0415 - only where it is wanted

    with trace.get_tracer("shop").start_as_current_span("ship"):
        pass


def noted(task: OrderTask) -> None:
    """Do what the order's user stands for, and note the start and the end."""
    note(task, "start")
    match task.user_id:
        case Behaviour.SLOW:
            time.sleep(float(os.environ.get("SLOW_SECONDS", SLOW_SECONDS)))
        case Behaviour.KILLS:
            os._exit(23)
        case Behaviour.HANGS:
            time.sleep(3600)
        case Behaviour.HOLDS_LOCK:
            # When the other threads have done what followed from the claim.
            time.sleep(HELD_AFTER)
            ctypes.PyDLL(None).sleep(3600)
    note(task, "end")
