"""gunicorn's threaded worker, with JSON for its own errors and a graceful Ctrl-C."""

from __future__ import annotations

import json
import socket
import threading
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from service import request_id
from service.runtime import Runtime


class OrderServiceWorker(ThreadWorker):
    """Serves requests in threads; SIGQUIT and SIGINT stop it as gracefully as SIGTERM."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop the processor at once, while the last requests are answered."""
        runtime: Runtime | None = getattr(self, "runtime", None)
        if runtime is not None and self.alive:
            threading.Thread(target=runtime.stop_processor, name="processor-stop").start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop gracefully: Ctrl-C reaches the workers together with their master."""
        self.handle_exit(sig, frame)


def write_json_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:
    """Answer a request that never became one; in place of gunicorn's own HTML.

    A client's mistake is never the server's failure: an unknown transfer coding, for which
    gunicorn has 501, is a 400.
    """
    if status_int == HTTPStatus.NOT_IMPLEMENTED:
        status_int, reason = HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase
    body = json.dumps({"error": mesg or reason}).encode()
    head = (
        f"HTTP/1.1 {int(status_int)} {reason}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{request_id.HEADER}: {request_id.choose(None)}\r\n"
        "Connection: close\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


# gunicorn offers no setting for this.
util.write_error = write_json_error
