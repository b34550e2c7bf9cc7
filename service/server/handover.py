"""Lets the event loop's one thread serve many requests: each is a greenlet of it, and what blocks
is handed over to threads.

A request's code is plain, synchronous Python. Where it has to wait for another thread
(`Outcome.wait`, `call`), a request on the event loop lets the loop go on with other requests, and
anything else (a request that has a thread of its own, a command, a test) simply blocks. So nothing
that runs on the loop waits for more than Python itself, and no thread is switched to for a request,
only for a batch of them. No wait is longer than `LONGEST_WAIT`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
log = logging.getLogger(__name__)

# Seconds. A request is promised an answer within ten, and may have waited for a place before.
LONGEST_WAIT = 7.5


class WaitedTooLong(Exception):
    """What another thread was to return did not come within `LONGEST_WAIT`."""


class _Loop:
    """The event loop of this process: its own greenlet, and its thread-safe `call_soon`."""

    def __init__(self, call_soon: Callable[..., object]) -> None:
        self.greenlet = getcurrent()
        self.thread = threading.get_ident()
        self.call_soon = call_soon
        self.at_end_of_turn: list[Callable[[], object]] = []
        # What requests on the loop wait for, and until when, the oldest first.
        self.waiting: dict[Outcome[Any], float] = {}


class _Task(greenlet):
    """A request on the event loop; `done` is called on the loop with what it returned."""

    done: Callable[[Any], object]


_loop: _Loop | None = None


def start_loop(call_soon: Callable[..., object]) -> None:
    """Make the calling thread's current code the event loop of this process.

    `call_soon(function, *arguments)` has to be callable from any thread, and to have the loop call
    the function.
    """
    global _loop  # noqa: PLW0603 - a process has one event loop
    _loop = _Loop(call_soon)


def end_turn() -> None:
    """Do what waits for the end of the loop's turn, and end waits that are too long. Called by the
    loop alone, when it has served everything that was ready, and at least once a second."""
    if _loop is None:
        return
    if _loop.at_end_of_turn:
        due, _loop.at_end_of_turn = _loop.at_end_of_turn, []
        for function in due:
            function()
    now = time.monotonic()
    while _loop.waiting and next(iter(_loop.waiting.values())) <= now:
        late = next(iter(_loop.waiting))
        late.raises(WaitedTooLong("nothing came of it in time"))
        _end_waits((late,))


def after_this_turn(function: Callable[[], object]) -> None:
    """Have the loop call the function when it has served everything that is ready now.

    Where there is no loop, it is called at once.
    """
    if _loop is None:
        function()
    elif threading.get_ident() == _loop.thread:
        _loop.at_end_of_turn.append(function)
    else:
        # Not `at_end_of_turn.append`: that is the list of this turn, which ends meanwhile.
        _loop.call_soon(after_this_turn, function)


def serve(work: Callable[[], T], done: Callable[[T], object]) -> None:
    """Run `work` on the loop until it ends or waits. Called by the loop alone.

    When it has ended, now or later, the loop calls `done` with what it returned. `work` must not
    raise.
    """
    task = _Task(work)
    task.done = done
    _go_on(task)


def _go_on(task: _Task) -> None:
    result = task.switch()
    if task.dead:
        task.done(result)


def _end_waits(outcomes: Iterable[Outcome[Any]]) -> None:
    assert _loop is not None  # noqa: S101 - it is what calls this
    for outcome in outcomes:
        # Whoever waited too long does something else by now.
        if outcome.task is not None and _loop.waiting.pop(outcome, None) is not None:
            _go_on(outcome.task)


class Outcome(Generic[T]):
    """What another thread will return or raise, for the one who made this and waits for it."""

    __slots__ = ("_error", "_settled", "_value", "task")

    def __init__(self) -> None:
        current = getcurrent()
        self._value: Any = None
        self._error: Exception | None = None
        self.task = current if isinstance(current, _Task) else None
        if self.task is None:
            self._settled = threading.Lock()
            self._settled.acquire()

    def returns(self, value: T) -> None:
        """Set what is returned; takes effect with `settle`."""
        self._value = value

    def raises(self, error: Exception) -> None:
        """Set what is raised; takes effect with `settle`."""
        self._error = error

    def wait(self) -> T:
        """Wait until it is settled; then return the value, or raise the error.

        Raises:
            WaitedTooLong: it was not settled in time.
        """
        if self.task is None:
            if not self._settled.acquire(timeout=LONGEST_WAIT):
                raise WaitedTooLong("nothing came of it in time")
        else:
            assert _loop is not None  # noqa: S101 - there is no task without a loop
            _loop.waiting[self] = time.monotonic() + LONGEST_WAIT
            _loop.greenlet.switch()
        if self._error is not None:
            raise self._error.with_traceback(None)
        value: T = self._value
        return value

    @staticmethod
    def settle(outcomes: Iterable[Outcome[Any]]) -> None:
        """Let all who wait for these go on, the loop being woken once."""
        on_loop = []
        for outcome in outcomes:
            if outcome.task is None:
                outcome._settled.release()  # noqa: SLF001 - it is of this class
            else:
                on_loop.append(outcome)
        if on_loop and _loop is not None:
            _loop.call_soon(_end_waits, on_loop)


def is_on_loop() -> bool:
    """Tell whether the caller is a request on the event loop."""
    return isinstance(getcurrent(), _Task)


def call(threads: Executor, work: Callable[[], T]) -> T:
    """Return what `work` returns; from the event loop it is run by one of the threads."""
    if not is_on_loop():
        return work()
    outcome: Outcome[T] = Outcome()
    context = copy_context()

    def run() -> None:
        try:
            outcome.returns(context.run(work))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            outcome.raises(error)
        Outcome.settle((outcome,))

    future = threads.submit(run)
    try:
        return outcome.wait()
    except WaitedTooLong:
        # Nobody waits for it: if it has not begun, it would only hold up the others.
        future.cancel()
        raise
