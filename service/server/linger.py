"""The end of a connection."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

# How long, in seconds, a client may take to close its side after the answer.
LINGER = 0.5


def stop_receiving(sock: socket.socket) -> None:
    """Take what arrives from now on for the end of the connection; answers still go out."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RD)


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
