"""Finds the handler that the settings name, and refuses what cannot do the work when it is called.

A handler's module is imported here, so only in the process that runs it, and never before a fork.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import Future
from typing import Any

from service.config import ConfigError, Settings
from service.processing.handlers import Handler, OrderTask
from service.processing.handlers.coroutines import EventLoop, run_on
from service.processing.handlers.simulate import simulate
from service.setting_values import DEFAULT_HANDLER, WEBHOOK_HANDLER

# What is returned before the work is done.
UNDONE = (Awaitable, AsyncIterator, Future)


def load_handler(settings: Settings) -> Handler:
    """Return the handler that `ORDER_HANDLER` names.

    Raises:
        ConfigError: there is no such module or callable, or calling it would not do the work.
    """
    if settings.order_handler == DEFAULT_HANDLER:
        return simulate(settings.simulate_max_milliseconds)
    if settings.order_handler == WEBHOOK_HANDLER:
        # Here, since its HTTP client costs each process that does not need it some megabytes.
        from service.processing.handlers.webhook import Webhook  # noqa: PLC0415

        return run_on(EventLoop(), Webhook.from_settings(settings))
    handler = _import_handler(settings.order_handler)
    if problem := _problem(handler):
        raise ConfigError(f"ORDER_HANDLER: {settings.order_handler} {problem}")
    if _is_async(handler):
        return run_on(EventLoop(), handler)
    return _checked(handler)


def _import_handler(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        handler = getattr(importlib.import_module(module_name), attribute, None)
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - others' code may raise anything
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise ConfigError(
            f"ORDER_HANDLER: cannot import {module_name!r} ({reason});"
            " expected a module on the Python path"
        ) from None
    if not callable(handler):
        raise ConfigError(
            f"ORDER_HANDLER: {module_name!r} has no callable {attribute!r};"
            " expected module:callable"
        )
    return handler


def _called(handler: Any) -> Any:
    """Return the function that a call of the handler runs."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if inspect.isroutine(handler) or inspect.isclass(handler):
        return handler
    return type(handler).__call__


def _problem(handler: Any) -> str | None:
    """Say why a call of the handler could not do the work, or None."""
    called = _called(handler)
    if inspect.isclass(called):
        return "is a class, and calling it only makes an object; expected a function"
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        return "is a generator, and calling it runs nothing; expected a function without yield"
    try:
        # Of what is called itself: a decorator may add parameters.
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError:
        return "cannot be called with one argument, the order; expected a function of one parameter"
    except ValueError:  # some builtins do not tell
        return None
    return None


def _is_async(handler: Any) -> bool:
    return inspect.iscoroutinefunction(_called(handler))


def _checked(handler: Handler) -> Handler:
    """Make a handler that fails when the other only returned what would have to be run yet."""
    loop = EventLoop()

    def handle(task: OrderTask) -> object:
        result = handler(task)
        if result is None:
            return None
        if inspect.iscoroutine(result):
            return loop.run(result, lambda: not task.cancelled())
        if inspect.isgenerator(result) or isinstance(result, UNDONE):
            raise TypeError(
                f"the handler returned a {type(result).__name__}, which did no work yet;"
                " expected it to return when the order is done"
            )
        return result

    return handle
