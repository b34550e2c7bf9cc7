"""gunicorn's threaded worker, with JSON for its own errors, an even share of the connections, and
a stop that no client delays. Only methods that a worker may override are."""

from __future__ import annotations

import queue
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from service.server import shares
from service.server.linger import close_after_answer
from service.server.refusals import StatusOnly, refuse

# Seconds that a client has, after the worker was told to stop, to send the rest of its request.
LAST_READ = 2.0


class OrderServiceWorker(ThreadWorker):
    """Serves each request in a thread; SIGQUIT and SIGINT stop it as gracefully as SIGTERM."""

    slot = 0
    stop_processor: Callable[[], object] = staticmethod(lambda: None)

    def init_process(self) -> None:
        """Begin, with a thread for the end: a signal's handler may hardly do anything."""
        self.told_to_stop: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.serving: set[socket.socket] = set()
        threading.Thread(target=self.await_stop, name="worker-stop", daemon=True).start()
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Accept no more, and answer what has arrived."""
        self.told_to_stop.put(sig)
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop gracefully: Ctrl-C reaches the workers together with their master."""
        self.handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Stop like after a signal when the master is gone."""
        alive: bool = super().is_parent_alive()
        if not alive:
            self.handle_exit(signal.SIGTERM, None)
        return alive

    def await_stop(self) -> None:
        """Once told to stop, stop the processor, and soon after it reading."""
        self.told_to_stop.get()
        threading.Timer(LAST_READ, self.stop_reading).start()
        self.stop_processor()

    def stop_reading(self) -> None:
        """Take requests that have not arrived as a whole for cut off; answers still go out."""
        for sock in list(self.serving):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RD)

    def accept(self, listener: socket.socket) -> None:
        """Take a connection that waits, after a moment for workers that have fewer."""
        shares.await_turn(self.nr_conns)
        super().accept(listener)

    def notify(self) -> None:
        """Say that this worker lives, and how many connections it has."""
        shares.tell(self.slot, self.nr_conns if self.alive else shares.ABSENT)
        super().notify()

    def handle(self, conn: TConn) -> Any:
        """Serve a request. A connection that ends with it is closed here, in its thread: gunicorn's
        loop would wait for the client to close its side, and nobody else be served."""
        self.serving.add(conn.sock)
        keep = super().handle(conn)
        self.serving.discard(conn.sock)
        if not keep:
            close_after_answer(conn.sock)
        return keep

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what never became a request as JSON, with gunicorn's status."""
        page = StatusOnly()
        super().handle_error(req, page, addr, exc)  # type: ignore[arg-type] # as far as used
        refuse(client, page.status, str(exc))
