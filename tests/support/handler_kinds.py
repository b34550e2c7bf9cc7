"""Order handlers of all kinds, for tests of what is accepted and what a call of it does.

`done` are the orders whose work was done to its end. Of those that hang, `begun` are all and
`stopped` the ones that were cancelled.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from datetime import datetime
from decimal import Decimal
from typing import Any

from service.processing.handlers import OrderRejected, OrderTask

# Of work that takes a while.
WORK_SECONDS = 0.05
# An order to call them with.
TASK = OrderTask(
    order_id=1,
    user_id=2,
    item_ids=[3],
    total_amount=Decimal("4.00"),
    created_at=datetime(2026, 1, 1),  # noqa: DTZ001 - naive UTC, as in the database
    attempt=1,
    idempotency_token="token",
    cancelled=lambda: False,
)

done: list[int] = []
begun: list[int] = []
stopped: list[int] = []


def plain(task: OrderTask) -> None:
    """Do the work."""
    done.append(task.order_id)


async def coroutine(task: OrderTask) -> None:
    """Do the work after a while."""
    await asyncio.sleep(WORK_SECONDS)
    done.append(task.order_id)


class _Shop:
    def handle(self, task: OrderTask) -> None:
        plain(task)

    async def handle_later(self, task: OrderTask) -> None:
        await coroutine(task)

    @staticmethod
    def handle_anywhere(task: OrderTask) -> None:
        plain(task)


class _Callable:
    def __call__(self, task: OrderTask) -> None:
        plain(task)


class _CallableLater:
    async def __call__(self, task: OrderTask) -> None:
        await coroutine(task)


class _CallableGenerator:
    def __call__(self, task: OrderTask) -> Iterator[None]:
        plain(task)
        yield


def with_discount(_discount: int, task: OrderTask) -> None:
    """Take one parameter too many."""
    plain(task)


async def later_with_discount(_discount: int, task: OrderTask) -> None:
    """Take one parameter too many, in a coroutine."""
    await coroutine(task)


def _with_session(handler: Callable[[OrderTask, object], None]) -> Callable[[OrderTask], None]:
    @functools.wraps(handler)
    def call(task: OrderTask) -> None:
        handler(task, "session")

    return call


@_with_session
def decorated(task: OrderTask, session: object) -> None:
    """Be given the second parameter by a decorator."""
    assert session == "session"
    plain(task)


def with_defaults(task: OrderTask, retries: int = 3, *, strict: bool = True) -> None:
    """Have parameters that need not be given."""
    assert (retries, strict) == (3, True)
    plain(task)


def with_any(*tasks: OrderTask) -> None:
    """Take any number of parameters."""
    for task in tasks:
        plain(task)


bound = _Shop().handle
bound_coroutine = _Shop().handle_later
of_a_class = _Shop.handle_anywhere
callable_object = _Callable()
callable_coroutine = _CallableLater()
partial = functools.partial(with_discount, 10)
partial_coroutine = functools.partial(later_with_discount, 10)
partial_of_partial = functools.partial(functools.partial(later_with_discount), 10)


def returns_coroutine(task: OrderTask) -> Coroutine[Any, Any, None]:
    """Call a coroutine function and forget to wait for it."""
    return coroutine(task)


# What is refused at the start.


def generator(task: OrderTask) -> Iterator[None]:
    """Yield, by mistake."""
    plain(task)
    yield


async def async_generator(task: OrderTask) -> AsyncIterator[None]:
    """Yield in a coroutine, by mistake."""
    plain(task)
    yield


class AClass:
    """Have the work in the wrong place."""

    def __init__(self, task: OrderTask) -> None:
        plain(task)


callable_generator = _CallableGenerator()
partial_generator = functools.partial(generator)
partial_class = functools.partial(AClass)


def without_parameter() -> None:
    """Take nothing."""


def keyword_only(*, task: OrderTask) -> None:
    """Take the order by its name only."""
    plain(task)


unbound = _Shop.handle


# What fails each attempt: it returns before the work is done.


def returns_generator(task: OrderTask) -> Iterator[None]:
    """Return work that was not begun."""
    return generator(task)


def returns_async_generator(task: OrderTask) -> AsyncIterator[None]:
    """Return asynchronous work that was not begun."""
    return async_generator(task)


def returns_future(_task: OrderTask) -> Future[None]:
    """Return what a pool of threads gives for work that it will do."""
    return Future()


class _Promise:
    def __await__(self) -> Generator[Any, Any, None]:
        yield


def returns_awaitable(_task: OrderTask) -> Awaitable[None]:
    """Return what would have to be awaited."""
    return _Promise()


# How coroutines end otherwise.


async def raises(task: OrderTask) -> None:
    """Reject the order after a while."""
    await asyncio.sleep(WORK_SECONDS)
    raise OrderRejected(f"order {task.order_id} is none")


async def exits(_task: OrderTask) -> None:
    """Try to end the program."""
    raise SystemExit(3)


async def stops_the_loop(task: OrderTask) -> None:
    """Stop the event loop that all orders share."""
    asyncio.get_running_loop().stop()
    await coroutine(task)


async def times_out_itself(_task: OrderTask) -> None:
    """Meet a time-out of its own."""
    raise TimeoutError("the warehouse is slow")


async def hangs(task: OrderTask) -> None:
    """Never end by itself."""
    begun.append(task.order_id)
    try:
        await asyncio.sleep(3600)
    finally:
        stopped.append(task.order_id)


def returns_hanging(task: OrderTask) -> Coroutine[Any, Any, None]:
    """Call a coroutine that never ends, and forget to wait for it."""
    return hangs(task)


async def ends_slowly(task: OrderTask) -> None:
    """Need a while to end when it is cancelled."""
    begun.append(task.order_id)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(3 * WORK_SECONDS)
        stopped.append(task.order_id)
