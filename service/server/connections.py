"""The beginning and the end of a connection, where a client may keep a worker waiting."""

from __future__ import annotations

import select
import selectors
import socket
import time
from contextlib import suppress
from functools import partial

from gunicorn.workers.gthread import TConn, ThreadWorker

# Seconds: how long a connection may stay without its first byte, and how long a client may take to
# close its side after the answer.
SILENCE, LINGER = 15.0, 0.5
# Milliseconds that a thread waits for the next request of its client.
MOMENT = 5


def await_first_bytes(worker: ThreadWorker, conn: TConn) -> bool:
    """Have the worker's loop wait for a new connection's first bytes, instead of a thread.

    Returns:
        False when they are there, or the connection is not new.
    """
    if conn.initialized or conn.data_ready or not worker.alive:
        return False
    conn.sock.setblocking(False)
    conn.timeout = time.monotonic() + SILENCE
    worker.pending_conns.append(conn)
    readable = partial(worker.on_pending_socket_readable, conn)
    worker.poller.register(conn.sock, selectors.EVENT_READ, readable)
    return True


def expire_silent(worker: ThreadWorker) -> None:
    """Let a worker that stops wait for no first bytes any more."""
    if not worker.alive:
        for conn in worker.pending_conns:
            conn.timeout = 0


def stop_receiving_late(
    serving: dict[socket.socket, float], seconds: float, stop_at: float
) -> None:
    """Take what has not arrived so long after a request's beginning, or by `stop_at`, for cut off;
    answers still go out. `serving` has the beginnings, by `time.monotonic`."""
    now = time.monotonic()
    # A copy, at once: threads begin and end requests meanwhile.
    for sock, began in serving.copy().items():
        if now > min(began + seconds, stop_at):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RD)


def follows_at_once(worker: ThreadWorker, conn: TConn) -> bool:
    """Return whether a client's next request comes within a moment, in which its thread waits.

    The way back to the worker's loop, and from there to a thread again, costs more than most
    requests. Where there are more connections than threads, no thread waits.
    """
    if worker.nr_conns > worker.cfg.threads or not worker.alive or conn.sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(MOMENT))


def end_after_answer(sock: socket.socket) -> None:
    """End a connection so that the client gets the answer that was sent last.

    To close it while bytes arrive would take the answer from the client (RFC 9112, section 9.6).
    It is left for gunicorn to close, which waits for nothing then.
    """
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(65536):
                break
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
