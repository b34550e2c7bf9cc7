"""Whether the balancers answer that send clients to this host.

They have no program of their own that could tell, so each web host looks at them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from order_service.dotenv import balancers
from order_service.status.line import Line

PORT = 443
SECONDS = 3.0


def reached() -> Iterator[Line]:
    """Tell of each whether it lets somebody connect."""
    for address in balancers():
        try:
            socket.create_connection((address, PORT), SECONDS).close()
        except OSError as problem:
            text = f"{address} does not answer"
            yield Line("balancer", text, good=False, subject=address, why=str(problem))
        else:
            yield Line("balancer", f"{address} answers")
