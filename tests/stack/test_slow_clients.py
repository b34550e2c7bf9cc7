"""Clients that send one byte a second hold connections, and nobody up."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from tests.support.databases import order_body
from tests.support.ports import HOST
from tests.support.stack import Stack, StackClient

SLOW_CLIENTS = 200
REQUESTS = 30
HEAD = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def be_slow(stack: Stack, number: int, begun: list[int], stopping: Event) -> None:
    """Send a head or, every other client, a body, at one byte a second."""
    context = ssl.create_default_context(cafile=str(stack.ca))
    _, writer = await asyncio.open_connection(
        HOST, stack.https_port, ssl=context, server_hostname="localhost"
    )
    try:
        writer.write(HEAD + b"Content-Length: 5000\r\n\r\n" if number % 2 else HEAD + b"X-Slow: ")
        begun.append(number)
        while not stopping.is_set():
            writer.write(b"1")
            # nginx ends those whose head takes too long: they have lost, not the others.
            with suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(1)
    finally:
        writer.transport.abort()


@contextmanager
def slow_clients(stack: Stack) -> Iterator[None]:
    begun: list[int] = []
    stopping = Event()

    async def all_of_them() -> None:
        clients = (be_slow(stack, number, begun, stopping) for number in range(SLOW_CLIENTS))
        await asyncio.gather(*clients)

    thread = Thread(target=asyncio.run, args=[all_of_them()])
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while len(begun) < SLOW_CLIENTS:
            assert time.monotonic() < deadline, f"only {len(begun)} slow clients are connected"
            time.sleep(0.1)
        yield
    finally:
        stopping.set()
        thread.join(30)


def test_others_are_served(stack: Stack, client: StackClient) -> None:
    with slow_clients(stack):
        longest = 0.0
        for number in range(REQUESTS):
            begin = time.monotonic()
            assert client.get("/ping").status == 200
            assert client.post(order_body(2_000_001 + number)).status == 201
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.1)
        assert longest < 2
        # Nothing incomplete has reached the service.
        threads = stack.shell("app", "ls /proc/1/task /proc/*/fd 2>/dev/null | wc -l").stdout
        assert int(threads) < SLOW_CLIENTS
