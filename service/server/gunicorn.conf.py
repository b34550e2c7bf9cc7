"""gunicorn's settings. Invalid configuration ends the start here, with one line."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from typing import Any

# The workers count into files there, so that any of them can sum up all. prometheus_client
# decides on it while it is imported, and whatever is imported of the service leads to it.
_metrics_directory = tempfile.mkdtemp(prefix="order-service-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_directory


def _remove_metrics(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:
        shutil.rmtree(_metrics_directory, ignore_errors=True)


atexit.register(_remove_metrics)

from prometheus_client.multiprocess import mark_process_dead  # noqa: E402

from service.config import DEVELOPMENT_PASSWORD, settings_or_exit  # noqa: E402
from service.processing.handlers import load_handler_or_exit  # noqa: E402
from service.runtime import runtime  # noqa: E402
from service.server.worker import connection_counts  # noqa: E402
from service.telemetry.logs import logging_config  # noqa: E402

_settings = settings_or_exit()
load_handler_or_exit(_settings)

wsgi_app = "wsgi:app"
bind = f"127.0.0.1:{_settings.port}"
worker_class = "service.server.worker.OrderServiceWorker"
workers = _settings.web_concurrency
threads = _settings.web_threads
graceful_timeout = round(_settings.graceful_timeout_seconds)
# A worker that stops answers no heartbeat while its last orders end.
timeout = graceful_timeout + 15
keepalive = 75
http_parser = "auto"
# Requests are logged by the service itself, with their ids.
logger_class = "service.server.worker.QuietLogger"
logconfig_dict = logging_config(_settings)
control_socket_disable = True
# Nothing of these headers is used, and a client may send them: they are not to be interpreted.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


# Objects. A few megabytes at most are garbage until the collector looks for it.
GARBAGE_THRESHOLD = 20_000


def post_worker_init(worker: Any) -> None:
    """Start the processor, in the worker and never before the fork."""
    # What is there by now stays, and of what a request leaves little needs the collector, which by
    # default looks for garbage after every 700 objects: a tenth of the time of a request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)
    worker.runtime = runtime(worker.wsgi)
    worker.runtime.start_processor(on_broken=lambda: os.kill(os.getpid(), signal.SIGTERM))


def worker_exit(_server: Any, worker: Any) -> None:
    """Wait until the processor has finished or given back its orders."""
    if (started := getattr(worker, "runtime", None)) is not None:
        started.stop_processor()


def child_exit(_server: Any, worker: Any) -> None:
    """Leave a dead worker's gauges out of the sums, and its connections; its counters stay in."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    connection_counts.remove(worker.age)


def when_ready(_server: Any) -> None:
    """Show a developer what to try."""
    if _settings.production:
        return
    default = _settings.auth_password == DEVELOPMENT_PASSWORD
    password = DEVELOPMENT_PASSWORD if default else "$AUTH_PASSWORD"
    curl = f'curl -u "{_settings.auth_username}:{password}" http://127.0.0.1:{_settings.port}'
    order = '{"order_id": 123, "user_id": 456, "item_ids": [1, 2, 3], "total_amount": 150.75}'
    sys.stdout.write(
        "\nTry, in another terminal:\n"
        f"  {curl}/orders -H 'Content-Type: application/json' \\\n    -d '{order}'\n"
        f"  {curl}/orders/123\n"
        f"  {curl}/metrics\n"
        "Ctrl-C stops.\n\n"
    )
    sys.stdout.flush()
