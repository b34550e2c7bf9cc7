"""`flask process-orders`: a processor without a web server, but for what watches it."""

from __future__ import annotations

import logging.config
import os
import signal
import sys
import threading

import click
from flask.cli import ScriptInfo, with_appcontext

from service.config import ConfigError, former_settings
from service.runtime import runtime
from service.telemetry import tracing
from service.telemetry.logs import logging_config
from service.web.monitoring import MonitoringServer

log = logging.getLogger(__name__)


@click.command("process-orders")
@with_appcontext
def process_orders() -> None:
    """Process orders without a web server, until SIGTERM or Ctrl-C.

    With METRICS_PORT it answers /healthz, /readyz and /metrics there.
    """
    current = runtime()
    logging.config.dictConfig(logging_config(current.settings))
    for line in former_settings(os.environ):
        log.warning(line)
    stop = threading.Event()
    broken = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def give_up() -> None:
        broken.set()
        stop.set()

    if not current.settings.processor_threads:
        raise click.ClickException("PROCESSOR_THREADS is 0; expected at least 1 to process orders")
    # Itself, since the server's threads know of no current one.
    app = click.get_current_context().ensure_object(ScriptInfo).load_app()
    tracing.start(current.settings)
    try:
        server = MonitoringServer.start(app, current.settings.metrics_port)
        if server is not None:
            current.clients.start()
        current.start_processor(on_broken=give_up)
    except ConfigError as problem:
        raise click.ClickException(str(problem)) from None
    stop.wait()
    current.stop_processor()
    tracing.stop()
    if server is not None:
        server.stop()
        current.clients.stop()
    if broken.is_set():
        sys.exit(1)
