"""The settings that the whole server uses: its master reads them, at the start and at a reload."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import sys
from multiprocessing.connection import Connection

from service.config import ConfigError, Settings, former_settings, settings_or_exit
from service.processing.events.loading import load_endpoint
from service.processing.handlers.loading import load_handler

log = logging.getLogger(__name__)

# Seconds that importing the order handler may take, at the start and at a reload, during which the
# master does nothing else.
IMPORT_TIMEOUT, RELOAD_TIMEOUT = 60, 10
_current: Settings | None = None


def read_settings() -> Settings:
    """Return the environment's settings, for the master of the server and all its workers.

    At the start, invalid ones end the program with one line. At a reload the former ones stay.
    """
    global _current  # noqa: PLW0603 - what the workers inherit
    first = _current is None
    try:
        settings = Settings.from_environment(os.environ)
        _check_handler(settings, IMPORT_TIMEOUT if first else RELOAD_TIMEOUT)
        if _current is not None and settings.port != _current.port:
            _check_port(settings.port)
    except ConfigError as problem:
        if first:
            sys.exit(f"order-service: {problem}")
        log.error("the reload keeps the former settings: %s", problem)  # noqa: TRY400 - one line
    else:
        _current = settings
        for line in former_settings(os.environ):
            log.warning(line)
    return current_settings()


def current_settings() -> Settings:
    """Return the settings of the server that this process belongs to; where there is none, those
    of the environment."""
    return _current or settings_or_exit()


def _check_handler(settings: Settings, seconds: float) -> None:
    # In a process of its own: what a handler's module opens must not be shared by the workers.
    answer, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_load_handler, args=(settings, theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        problem = (
            answer.recv() if answer.poll(seconds) else "ORDER_HANDLER: importing it takes too long"
        )
    except EOFError:
        problem = "ORDER_HANDLER: importing it ends the process"
    process.kill()
    process.join()
    if problem:
        raise ConfigError(problem)


def _check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as problem:
        raise ConfigError(f"PORT: {port} cannot be used ({problem.strerror})") from None


def _load_handler(settings: Settings, answer: Connection) -> None:
    try:
        load_handler(settings)
        load_endpoint(settings)
    except ConfigError as problem:
        answer.send(str(problem))
    else:
        answer.send("")
