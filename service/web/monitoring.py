"""What a processor without a web server answers, for those who watch it: `/healthz`, `/readyz` and
`/metrics`, and nothing else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from service.config import ConfigError

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
# Who scrapes it runs elsewhere: in another container, or on another host.
ADDRESS = "0.0.0.0"  # noqa: S104
# Seconds that a client may be silent.
CLIENT_TIMEOUT = 10


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT
    error_content_type = "application/json"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer to what never became a request."""
        self.request_version = self.protocol_version  # else the answer would have no head
        self.error_message_format = json.dumps({"error": HTTPStatus(code).phrase})
        super().send_error(code)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's name
        """Keep quiet: the service logs its requests itself."""


class MonitoringServer:
    """Werkzeug's server, in a thread, for the few requests of a watchdog and a scraper."""

    def __init__(self, server: BaseWSGIServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="monitoring", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, app: Flask, port: int | None) -> MonitoringServer | None:
        """Serve the application's monitoring paths on this port; nothing to do for None.

        Raises:
            ConfigError: the port cannot be used.
        """
        if port is None:
            return None

        def only_monitoring(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] not in PATHS:
                # Authentication comes first there, as everywhere.
                environ["PATH_INFO"] = "/not-here"
            return app(environ, start_response)

        try:
            # Werkzeug itself would end the program, in several lines.
            listener = socket.create_server((ADDRESS, port))
        except OSError as problem:
            raise ConfigError(
                f"METRICS_PORT: {port} cannot be used ({problem.strerror});"
                " expected a port that is free"
            ) from None
        with listener:
            server = make_server(
                ADDRESS,
                port,
                only_monitoring,
                threaded=True,
                request_handler=_Handler,
                fd=listener.fileno(),
            )
        return cls(server)

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
