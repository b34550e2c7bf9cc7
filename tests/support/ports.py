"""Ports of the loopback address for servers of tests."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
# Below the range that the kernel gives to outgoing connections: nothing takes a port while its
# server is down.
PORTS = range(20000, 30000)


def free_port() -> int:
    """Return a port that nothing listens on."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port on {HOST} from {PORTS.start} to {PORTS.stop - 1}")
