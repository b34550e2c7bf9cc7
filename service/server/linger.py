"""The end of a connection."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

# How long, in seconds, a client may take to close its side after the answer.
LINGER = 0.5


def close_after_answer(sock: socket.socket) -> None:
    """Close a connection so that the client gets the answer that was sent last.

    To close while bytes arrive would take it from the client (RFC 9112, section 9.6).
    """
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(65536):
                break
    sock.close()
