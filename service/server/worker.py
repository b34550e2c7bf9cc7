"""gunicorn's threaded worker, with errors in JSON, and a stop that no client delays."""

from __future__ import annotations

import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from service.server import shares
from service.server.linger import end_after_answer, stop_receiving
from service.server.refusals import StatusOnly, refuse

# Seconds that a client has, after the worker was told to stop, to send the rest of its request.
LAST_READ = 2.0


class OrderServiceWorker(ThreadWorker):
    """Serves each request in a thread; SIGQUIT and SIGINT stop it as gracefully as SIGTERM."""

    slot = 0

    def init_process(self) -> None:  # noqa: D102 - gunicorn's, like most that follow
        self.told_to_stop: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.serving: set[socket.socket] = set()
        self.when_told_to_stop(self.stop_reading)
        super().init_process()

    def when_told_to_stop(self, do: Callable[[], object]) -> None:
        """Have a thread do it then: a signal's handler may hardly do anything."""
        threading.Thread(target=self.await_stop, args=(do,), daemon=True).start()

    def await_stop(self, do: Callable[[], object]) -> None:
        """Wait until told to stop, and leave the word to the next one that waits."""
        self.told_to_stop.put(self.told_to_stop.get())
        do()

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: D102
        self.told_to_stop.put(sig)
        super().handle_exit(sig, frame)

    handle_quit = handle_exit  # Ctrl-C reaches the workers together with their master.

    def is_parent_alive(self) -> bool:  # noqa: D102
        alive: bool = super().is_parent_alive()
        if not alive:
            self.handle_exit(signal.SIGTERM, None)
        return alive

    def stop_reading(self) -> None:
        """Soon take requests that have not arrived as a whole for cut off; answers still go out."""
        time.sleep(LAST_READ)
        for sock in list(self.serving):
            stop_receiving(sock)

    def accept(self, listener: socket.socket) -> None:  # noqa: D102
        shares.await_turn(self.nr_conns)
        super().accept(listener)

    def notify(self) -> None:  # noqa: D102
        shares.tell(self.slot, self.nr_conns if self.alive else shares.ABSENT)
        super().notify()

    def handle(self, conn: TConn) -> Any:
        """Serve a request. What ends with it ends in its thread, where it holds up nobody else."""
        self.serving.add(conn.sock)
        keep = super().handle(conn)
        self.serving.discard(conn.sock)
        if not keep:
            end_after_answer(conn.sock)
        return keep

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: D102
        page = StatusOnly()
        super().handle_error(req, page, addr, exc)  # type: ignore[arg-type] # as far as used
        refuse(client, page.status, str(exc))
