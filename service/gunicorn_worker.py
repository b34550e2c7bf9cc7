"""gunicorn's threaded worker, with JSON for its own errors, a graceful Ctrl-C, and threads for
requests only, not for clients that send none."""

from __future__ import annotations

import json
import logging
import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

from service import request_id
from service.runtime import Runtime

log = logging.getLogger(__name__)

# How long, in seconds, a thread waits for the next bytes of a request that has begun.
READ_TIMEOUT = 5
# How long, in seconds, a client may take to close its side after the answer.
LINGER = 1


class OrderServiceWorker(ThreadWorker):
    """Serves requests in threads; SIGQUIT and SIGINT stop it as gracefully as SIGTERM."""

    runtime: Runtime | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop the processor at once, while the last requests are answered."""
        self._stop_processor()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop gracefully: Ctrl-C reaches the workers together with their master."""
        self.handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Stop like after a signal when the master is gone."""
        alive: bool = super().is_parent_alive()
        if not alive:
            self._stop_processor()
            self.alive = False
        return alive

    def enqueue_req(self, conn: TConn) -> None:
        """Give the connection a thread, but a new one only when its request begins to arrive."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        timeout = struct.pack("ll", READ_TIMEOUT, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def handle(self, conn: TConn) -> Any:
        """Serve the connection; what is to be closed after it lingers here.

        gunicorn lets it linger in the event loop, where a client that does not close its side
        would hold up everyone.
        """
        keep = super().handle(conn)
        if not keep:
            _linger(conn.sock)
        return keep

    def _stop_processor(self) -> None:
        if self.runtime is not None and self.alive:
            threading.Thread(target=self.runtime.stop_processor, name="processor-stop").start()


def _linger(sock: socket.socket) -> None:
    # RFC 9112, section 9.6: to close while bytes arrive would take the answer from the client.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(65536):
                return


def write_json_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:
    """Answer a request that never became one; in place of gunicorn's own HTML.

    A client's mistake is never the server's failure: where gunicorn has 501 (an unknown transfer
    coding) or 500 (headers that it does not trust) with a message on the request, it is a 400.
    """
    unknown_coding = status_int == HTTPStatus.NOT_IMPLEMENTED
    if unknown_coding or (status_int == HTTPStatus.INTERNAL_SERVER_ERROR and mesg):
        status_int, reason = HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase
    body = json.dumps({"error": mesg or reason}).encode()
    number = request_id.choose(None)
    log.info("refused before routing", extra={"request_id": number, "status": int(status_int)})
    head = (
        f"HTTP/1.1 {int(status_int)} {reason}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{request_id.HEADER}: {number}\r\n"
        "Connection: close\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


# gunicorn offers no setting for these.
util.write_error = write_json_error
util.close_graceful = lambda sock, *_args, **_options: util.close(sock)
