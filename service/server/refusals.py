"""Answers to what never became a request, as JSON."""

from __future__ import annotations

import json
import logging
import socket
from contextlib import suppress
from http import HTTPStatus

from service.telemetry import request_id

log = logging.getLogger(__name__)


class StatusOnly:
    """Stands in for a client's socket, and keeps the status of the page that is sent to it."""

    status = HTTPStatus.BAD_REQUEST

    def gettimeout(self) -> float:
        """Return a socket's time-out: none of it waits."""
        return 0.0

    def sendall(self, page: bytes) -> None:
        """Take a whole answer."""
        self.status = HTTPStatus(int(page.split(None, 2)[1]))


def refuse(client: socket.socket, status: HTTPStatus, problem: str) -> None:
    """Answer the client with the status and the problem.

    A client's mistake is never the server's failure: where gunicorn has 501 (an unknown transfer
    coding), it is a 400.
    """
    if status == HTTPStatus.NOT_IMPLEMENTED:
        status = HTTPStatus.BAD_REQUEST
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        problem = status.phrase
    body = json.dumps({"error": problem or status.phrase}).encode()
    number = request_id.choose(None)
    log.info("refused before routing", extra={"request_id": number, "status": int(status)})
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{request_id.HEADER}: {number}\r\n"
        "Connection: close\r\n\r\n"
    )
    with suppress(OSError):
        client.sendall(head.encode("latin-1") + body)
