"""gunicorn's settings. Invalid configuration ends the start here, with one line."""

from __future__ import annotations

import gc
import math
import os
import resource
import signal
import socket
import struct
import sys
import threading
from itertools import count
from typing import Any

from service.config import DEVELOPMENT_PASSWORD, ConfigError
from service.processing.watchdog import PATIENCE
from service.server import shares
from service.server.settings import read_settings
from service.telemetry import tracing, worker_files
from service.telemetry.logs import logging_config

_settings = read_settings()
worker_files.open_folder()

wsgi_app = "wsgi:app"
bind = f"127.0.0.1:{_settings.port}"
worker_class = "service.server.worker.OrderServiceWorker"
workers = _settings.web_concurrency
threads = _settings.web_threads
graceful_timeout = round(_settings.graceful_timeout_seconds)
# A worker that stops answers no heartbeat while its last orders end, nor does one whose handler
# holds Python's lock: its own watchdog is to end that one, and to show where it hangs.
timeout = max(
    graceful_timeout + 15,
    math.ceil(_settings.processor_handler_timeout_seconds + 2 * PATIENCE)
    if _settings.processor_threads
    else 0,
)
keepalive = 75
# One parser everywhere: the faster one is there only where it could be compiled.
http_parser = "python"
# Requests are logged by the service itself, with their ids.
logger_class = "service.server.logger.QuietLogger"
logconfig_dict = logging_config(_settings)
control_socket_disable = True
# Nothing of these headers is used, and a client may send them: they are not to be interpreted.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

# Descriptors for everything but connections: files, pipes, and each thread's for the database.
OTHER_DESCRIPTORS = 100 + 2 * threads
worker_connections = max(
    threads + 1, min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_DESCRIPTORS)
)
# Seconds that a thread waits for the next bytes of a request, and for a client to take more of its
# answer, which delays a stop by as much.
RECEIVE_TIMEOUT, SEND_TIMEOUT = 5, 3
# Seconds for which the kernel keeps a connection without a byte to itself.
SILENT_TIMEOUT = 5
# Objects. A few megabytes at most are garbage until the collector looks for it.
GARBAGE_THRESHOLD = 20_000


def when_ready(server: Any) -> None:
    """Prepare the listening sockets, and show a developer what to try."""
    _prepare_listeners(server)
    if not _settings.production:
        _show_examples()


def on_reload(server: Any) -> None:
    """Prepare the sockets of another address."""
    _prepare_listeners(server)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a place among those that live."""
    taken = {getattr(other, "slot", None) for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in count() if slot not in taken)
    worker.has_files = worker_files.prepare(worker.slot)


def post_fork(_server: Any, worker: Any) -> None:
    """Count in the worker's own files, before anything of the application is imported."""
    # The master's handlers would take a signal for theirs until the worker has its own.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    worker_files.use(worker.slot if worker.has_files else None)


def post_worker_init(worker: Any) -> None:
    """Start what has threads, in the worker and never before the fork."""
    started = _runtime_of(worker)
    # Its library is there before the collector is told to leave alone what is.
    tracing.start(started.settings)
    # What is there by now stays, and of what a request leaves little needs the collector, which by
    # default looks for garbage after every 700 objects: a tenth of the time of a request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)
    started.clients.start()
    try:
        started.start_processor(on_broken=lambda: os.kill(os.getpid(), signal.SIGTERM))
    except ConfigError as problem:
        # It was there when the server started. `/readyz` says what is missing.
        worker.log.error("no orders are processed here: %s", problem)  # noqa: TRY400 - one line
    # A thread, since a signal's handler may hardly do anything.
    threading.Thread(target=_stop_when_told, args=(worker, started), daemon=True).start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Wait until the processor has finished or given back its orders, and the spans are sent."""
    if worker.booted:
        started = _runtime_of(worker)
        started.stop_processor()
        started.clients.stop()
        tracing.stop()


def child_exit(_server: Any, worker: Any) -> None:
    """Leave a dead worker's connections out of the shares."""
    shares.tell(worker.slot, shares.ABSENT)


def _runtime_of(worker: Any) -> Any:
    # In the worker alone: it leads to prometheus_client.
    from service.runtime import runtime  # noqa: PLC0415

    return runtime(worker.wsgi)


def _stop_when_told(worker: Any, started: Any) -> None:
    worker.told_to_stop.get()
    started.stop_processor()


def _prepare_listeners(server: Any) -> None:
    # On Linux what is set on a listening socket holds for each connection that comes from it.
    for listener in server.LISTENERS:
        for option, seconds in (
            (socket.SO_RCVTIMEO, RECEIVE_TIMEOUT),
            (socket.SO_SNDTIMEO, SEND_TIMEOUT),
        ):
            listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_TIMEOUT)


def _show_examples() -> None:
    default = _settings.auth_password == DEVELOPMENT_PASSWORD
    password = DEVELOPMENT_PASSWORD if default else "$AUTH_PASSWORD"
    login = f"{_settings.auth_username}, {password}" if default else "the same name and password"
    curl = f'curl -u "{_settings.auth_username}:{password}" http://127.0.0.1:{_settings.port}'
    order = '{"order_id": 123, "user_id": 456, "item_ids": [1, 2, 3], "total_amount": 150.75}'
    sys.stdout.write(
        "\nTry, in another terminal:\n"
        f"  {curl}/orders -H 'Content-Type: application/json' \\\n    -d '{order}'\n"
        f"  {curl}/orders/123\n"
        f"  {curl}/metrics\n"
        f"The console: http://127.0.0.1:{_settings.port}/console/ ({login})\n"
        "Ctrl-C stops.\n\n"
    )
    sys.stdout.flush()
