"""Clients that send one byte a second hold connections, and nobody up."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.ports import HOST
from tests.support.stack import ORDER_IDS, Stack, StackClient

# Half of them send a body, and those alone are more than the service has threads for requests.
SLOW_CLIENTS = 100
REQUESTS = 30


async def be_slow(stack: Stack, path: str, number: int, begun: list[int], stopping: Event) -> None:
    """Send a head or, every other client, a body, at one byte a second."""
    context = ssl.create_default_context(cafile=str(stack.ca))
    _, writer = await asyncio.open_connection(
        HOST, stack.https_port, ssl=context, server_hostname="localhost"
    )
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    rest = "Content-Length: 5000\r\n\r\n" if number % 2 else "X-Slow: "
    try:
        writer.write((head + rest).encode())
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
def slow_clients(stack: Stack, path: str) -> Iterator[None]:
    begun: list[int] = []
    stopping = Event()

    async def all_of_them() -> None:
        numbers = range(SLOW_CLIENTS)
        await asyncio.gather(*(be_slow(stack, path, one, begun, stopping) for one in numbers))

    thread = Thread(target=asyncio.run, args=[all_of_them()])
    thread.start()
    try:
        wait_until(lambda: len(begun) == SLOW_CLIENTS, 60, "all slow clients' connections")
        yield
    finally:
        stopping.set()
        thread.join(60)


def test_others_are_served_and_nothing_incomplete_reaches_the_service(
    stack: Stack, client: StackClient
) -> None:
    path = f"/orders?slow={secrets.token_hex(8)}"
    with slow_clients(stack, path):
        for _ in range(REQUESTS):
            # One that has to wait for the slow ones gets no answer in the client's time.
            assert client.get("/ping").status == 200
            assert client.post(order_body(next(ORDER_IDS))).status == 201
    wait_until(
        lambda: len(stack.accesses("path", path)) == SLOW_CLIENTS, 30, "a line for each", every=0.5
    )
    assert {line["upstream"] for line in stack.accesses("path", path)} == {""}
