"""The image's health check: fails, and says why, unless the service is ready."""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

# A processor without a web server answers on a port of its own.
PORT = int(os.environ.get("METRICS_PORT") or 5000)
TIMEOUT = 3


def main() -> None:
    """Ask this container's own service; end with 1 unless it answers 200."""
    connection = HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        sys.exit(f"no answer: {error}")
    sys.stdout.write(body)
    sys.exit(answer.status != HTTPStatus.OK)


main()
