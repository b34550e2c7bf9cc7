"""The peer that differs in its server alone: this very application on Granian, written in Rust.

The service's own settings for gunicorn prepare each worker here, too: its log, its metrics, its
garbage collector. The variables of the environment are the service's.

What is no HTTP gets Granian's own 400, which has no body. The conformance check sends none.
"""

from __future__ import annotations

import logging.config
import os
from importlib.util import module_from_spec, spec_from_file_location
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from service.telemetry import worker_files

GUNICORN_SETTINGS = "service/server/gunicorn.conf.py"


def read_gunicorn_settings() -> Any:
    """Return the service's settings for gunicorn: values and hooks."""
    spec = spec_from_file_location("gunicorn_settings", GUNICORN_SETTINGS)
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    settings = module_from_spec(spec)
    spec.loader.exec_module(settings)
    return settings


def load() -> Any:
    """Return the application, in a worker that is prepared as gunicorn's own are."""
    settings = read_gunicorn_settings()
    logging.config.dictConfig(settings.logconfig_dict)
    slot = os.getpid()
    worker = SimpleNamespace(
        slot=slot,
        has_files=worker_files.prepare(slot),
        # It is never told: nothing is processed here that would have to stop.
        told_to_stop=SimpleQueue(),
    )
    settings.post_fork(None, worker)
    # Only now: it counts from its import on.
    from wsgi import app  # noqa: PLC0415

    worker.wsgi = app
    settings.post_worker_init(worker)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = read_gunicorn_settings()
    address, _, port = settings.bind.partition(":")
    Granian(
        "wsgi:app",
        address=address,
        port=int(port),
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=settings.workers,
        # More of them (24, 36, 64) were no faster on as many connections to the database.
        blocking_threads=settings.threads,
        log_level=LogLevels.warning,
    ).serve(target_loader=load, wrap_loader=False)


if __name__ == "__main__":
    main()
