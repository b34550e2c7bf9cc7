"""gunicorn's threaded worker, with JSON for its own errors, a graceful Ctrl-C, and an event loop
that serves requests itself.

A request that has arrived as a whole is served on the event loop (`service.server.handover`). A
thread is for what may have to wait for its client: a request that arrives in parts, an answer that
does not fit into the socket, a connection to be closed.
"""

from __future__ import annotations

import json
import logging
import math
import os
import selectors
import socket
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, cast

from gunicorn import http, util
from gunicorn.glogging import Logger
from gunicorn.http import RequestParser
from gunicorn.http.message import HeaderPolicy
from gunicorn.workers.gthread import TConn, ThreadWorker

from service.runtime import Runtime
from service.server import handover
from service.server.fair_accept import ConnectionCounts, Turn
from service.server.whole_request import Outbox, is_whole_request
from service.telemetry import request_id

log = logging.getLogger(__name__)

# Bytes. A larger request is a thread's.
RECEIVE_SIZE = 65536
# How often, in seconds, the master is told that the worker lives; it waits for much longer.
NOTIFY_SECONDS = 1.0
_KEPT: Future[bool] = Future()
_KEPT.set_result(True)
# The master imports this module before it forks.
connection_counts = ConnectionCounts()

# How long, in seconds, a thread waits for the next bytes of a request that has begun, or for a
# client to take more of its answer.
CLIENT_TIMEOUT = 5
# How long, in seconds, a client may take to close its side after the answer.
LINGER = 1


class OrderServiceWorker(ThreadWorker):
    """Serves whole requests on its event loop and the rest in threads; SIGQUIT and SIGINT stop it
    as gracefully as SIGTERM."""

    runtime: Runtime | None = None
    _notified = -math.inf
    _over_tls = False
    _offered = False

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

    def run(self) -> None:
        """Serve until the end; this is the event loop of the process from now on."""
        handover.start_loop(self.method_queue.defer)
        self._over_tls = self.cfg.is_ssl
        self._turn = Turn(connection_counts)
        super().run()

    def notify(self) -> None:
        """Tell the master that this worker lives; once a second, not at each turn of the loop."""
        now = time.monotonic()
        if now - self._notified >= NOTIFY_SECONDS:
            self._notified = now
            super().notify()

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Serve all requests that have arrived, after waiting for one."""
        self._offered = False
        super().wait_for_and_dispatch_events(timeout)
        handover.end_turn()
        if not self._offered:
            self._turn.end()
        self._tell_connections()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection that waits, unless another worker has fewer."""
        self._offered = True
        if self._turn.is_mine(self.nr_conns):
            super().accept(listener)
            self._tell_connections()

    def _tell_connections(self) -> None:
        if self.alive:
            connection_counts.set(self.age, self.nr_conns)
        else:
            connection_counts.remove(self.age)

    def enqueue_req(self, conn: TConn) -> None:
        """Serve a request that has arrived; a new connection waits for its first bytes here."""
        if conn.initialized or conn.data_ready:
            if self._has_whole_request(conn):
                handover.serve(partial(self._serve, conn), partial(self._end_request, conn))
            else:
                super().enqueue_req(conn)
            return
        timeout = struct.pack("ll", CLIENT_TIMEOUT, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, timeout)
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

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        # A body that was read needs no draining, with time-outs set on the socket.
        reader = getattr(getattr(conn.parser, "mesg", None), "body", None)
        if keepalive and getattr(getattr(reader, "reader", None), "length", None) == 0:
            return True
        kept: bool = super()._keepalive_after(conn, keepalive)  # type: ignore[misc] # unknown to it
        return kept

    def _has_whole_request(self, conn: TConn) -> bool:
        """Read what is there; tell whether it is a whole request, so that serving never waits."""
        if self._over_tls:
            return False
        if conn.parser is None:
            conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
            conn.initialized = True
        if not isinstance(conn.parser, RequestParser):
            return False
        buffer = conn.parser.unreader.buf
        if is_whole_request(buffer.getvalue()):  # it came along with the one before
            return True
        buffer.seek(0, os.SEEK_END)
        try:
            if conn.sock.gettimeout() != 0:
                conn.sock.setblocking(False)
            buffer.write(conn.sock.recv(RECEIVE_SIZE))
        except OSError:
            return False
        return is_whole_request(buffer.getvalue())

    def _serve(self, conn: TConn) -> tuple[bool, bytes]:
        """Serve the request that has arrived; return whether to keep the connection, and the
        answer."""
        outbox = Outbox()
        real, unreader = conn.sock, cast("Any", conn.parser).unreader
        conn.sock = unreader.sock = cast("socket.socket", outbox)
        try:
            keep = super().handle(conn)
        except Exception:  # it would end the loop
            log.exception("a request could not be served")
            keep = False
        finally:
            conn.sock = unreader.sock = real
        return bool(keep), outbox.content()

    def _end_request(self, conn: TConn, result: tuple[bool, bytes]) -> None:
        keep, answer = result
        try:
            sent = conn.sock.send(answer) if answer else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            keep, sent = False, len(answer)
        if keep and sent == len(answer):
            parser = conn.parser
            if isinstance(parser, RequestParser) and parser.unreader.buf.getvalue():
                # The next request is there already; its turn is the loop's next.
                self.method_queue.defer(self.finish_request, conn, _KEPT)
            else:
                self.finish_request(conn, _KEPT)
            return
        # A client that is slow to take its answer, or to close its side, has a thread wait for it.
        ended = self.tpool.submit(self._send_rest, conn, answer[sent:], keep)
        ended.add_done_callback(lambda it: self.method_queue.defer(self.finish_request, conn, it))

    @staticmethod
    def _send_rest(conn: TConn, rest: bytes, keep: bool) -> bool:
        conn.sock.setblocking(True)
        try:
            conn.sock.sendall(rest)
        except OSError:
            keep = False
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


@lru_cache(maxsize=1)
def _date_of_second(second: int) -> str:
    return formatdate(second, usegmt=True)


def http_date(timestamp: float | None = None) -> str:
    """Return the time, by default now, as the header Date has it; made once a second."""
    return _date_of_second(int(time.time() if timestamp is None else timestamp))


def trusted_headers(_request: Any) -> tuple[dict[str, str], list[str]]:
    """Return the headers by which a proxy may tell the scheme and more: none, whoever it is.

    The settings have none either; gunicorn parses the peer's address on each request to find that.
    """
    return {}, []


# gunicorn offers no setting for these.
util.write_error = write_json_error
util.http_date = http_date
HeaderPolicy._peer_trusted_for_forwarded = trusted_headers  # type: ignore[attr-defined] # noqa: SLF001
util.close_graceful = lambda sock, *_args, **_options: util.close(sock)


class QuietLogger(Logger):
    """gunicorn's logger without its access log: the service logs requests itself."""

    def access(self, *_arguments: Any) -> None:
        """Do nothing, not even collect what a line would hold."""
