"""`Expect: 100-continue`: a client is asked for the body only when it is read.

gunicorn asks for it before it calls the application, so that a client sends all of a body that is
too large, or of a request without credentials.
"""

from __future__ import annotations

import socket
from typing import Any

from gunicorn.http.message import Request


class LateContinue:
    """Stands in for the body of a request, and keeps back "100 Continue" until it is read."""

    def __init__(self, request: Request, client: socket.socket) -> None:
        self._request = request
        self._client = client
        self._body: Any = request.body
        self._kept_back = b""
        self._closes = request.must_close

    def keep_back(self, interim: bytes) -> int:
        """Take what gunicorn would send now. Unless the body is read, the connection ends with the
        answer: nobody knows whether the client sends the body then."""
        self._kept_back = interim
        self._request.force_close()
        return len(interim)

    def read(self, *size: int) -> Any:
        """Read from the body, after asking for it."""
        if self._kept_back:
            self._client.sendall(self._kept_back)
            self._kept_back = b""
            self._request.must_close = self._closes
        return self._body.read(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class KeepingSocket:
    """Stands in for a client's socket: `send`, of which gunicorn has no other use, keeps back."""

    def __init__(self, client: socket.socket, late: LateContinue) -> None:
        self._client = client
        self.send = late.keep_back

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
