"""gunicorn's threaded worker, with errors in JSON, and a stop that no client delays."""

from __future__ import annotations

import queue
import signal
import socket
import time
from types import SimpleNamespace
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from service.server import connections, shares
from service.server.expectations import KeepingSocket, LateContinue
from service.server.refusals import StatusOnly, refuse

# Seconds that a client has to send a whole request; the same once the worker was told to stop.
LONGEST_READ, LAST_READ = 10.0, 2.0
KEY = "IDEMPOTENCY-KEY"


def mark_repeated(req: Any, name: str) -> None:
    """Join the values of a field that a request has more than once by a line feed, which no value
    has. WSGI joins them by a comma, which one value may have as well."""
    joined = "\n".join(value for given, value in req.headers if given == name)
    req.headers = [
        *((given, value) for given, value in req.headers if given != name),
        (name, joined),
    ]


class OrderServiceWorker(ThreadWorker):
    """Serves each request in a thread; SIGQUIT and SIGINT stop it as gracefully as SIGTERM."""

    slot, stop_at = 0, float("inf")

    def init_process(self) -> None:  # noqa: D102 - gunicorn's, like most that follow
        self.told_to_stop: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.serving: dict[socket.socket, float] = {}
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: D102
        self.stop_at = min(self.stop_at, time.monotonic() + LAST_READ)
        self.told_to_stop.put(sig)
        super().handle_exit(sig, frame)

    handle_quit = handle_exit  # Ctrl-C reaches the workers together with their master.

    def is_parent_alive(self) -> bool:  # noqa: D102
        if not super().is_parent_alive():
            self.handle_exit(signal.SIGTERM, None)
        return self.alive

    def notify(self) -> None:
        """Once a second at least: say how many connections there are, and end slow requests."""
        shares.tell(self.slot, self.nr_conns if self.alive else shares.ABSENT)
        connections.stop_receiving_late(self.serving, LONGEST_READ, self.stop_at)
        super().notify()

    def murder_pending(self) -> None:  # noqa: D102
        connections.expire_silent(self)
        super().murder_pending()

    def accept(self, listener: socket.socket) -> None:  # noqa: D102
        shares.await_turn(self.nr_conns)
        super().accept(listener)

    def enqueue_req(self, conn: TConn) -> None:  # noqa: D102
        if not connections.await_first_bytes(self, conn):
            super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Serve a request. What ends with it ends in its thread, where it holds up nobody else."""
        keep = self._serve(conn)
        while keep is True and connections.follows_at_once(self, conn):
            keep = self._serve(conn)
        del self.serving[conn.sock]
        if not keep:
            connections.end_after_answer(conn.sock)
        return keep

    def _serve(self, conn: TConn) -> Any:
        self.serving[conn.sock] = time.monotonic()
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:  # noqa: D102
        names = [name for name, _ in req.headers]
        if names.count(KEY) > 1:
            mark_repeated(req, KEY)
        if "EXPECT" in names:
            req.body = late = LateContinue(req, conn.sock)
            client = KeepingSocket(conn.sock, late)
            conn = SimpleNamespace(sock=client, client=conn.client, server=conn.server)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: D102
        page = StatusOnly()
        super().handle_error(req, page, addr, exc)  # type: ignore[arg-type] # as far as used
        if req is None or not isinstance(exc, ParseException):  # else it has its answer
            refuse(client, page.status, str(exc))
