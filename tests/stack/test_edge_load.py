"""Many clients of nginx: what idle ones cost it, and whether a container that goes fails any."""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from tests.support.docker import docker
from tests.support.edge import Edge, running_edge
from tests.support.polling import wait_until
from tests.support.stack import Stack

pytestmark = pytest.mark.extended

# More than nginx keeps: those that idle for longest make room.
IDLE = 5000
# As many as it keeps, of those that are not idle.
BUSY = 4000
AT_ONCE = 20
WORKERS = 16
ASKING = 10
# Of two or three one failed a request, before nginx sent it again.
GOING = 8
# nginx asks each two seconds, and waits for one second at most.
FORGOTTEN_SECONDS = 4
PEAK = "cat /sys/fs/cgroup/memory.peak || cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes"


@contextmanager
def idle_clients(address: str, number: int = IDLE, sent: bytes = b"") -> Iterator[None]:
    """Have as many clients that have agreed on TLS, and send no more than this."""
    opened: list[asyncio.StreamWriter] = []
    done, stopping = Event(), Event()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def open_one(gate: asyncio.Semaphore) -> None:
        async with gate:
            _, writer = await asyncio.open_connection(address, 8443, ssl=context)
            writer.write(sent)
            opened.append(writer)

    async def all_of_them() -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(open_one(gate) for _ in range(number)), return_exceptions=True)
        done.set()
        while not stopping.is_set():
            await asyncio.sleep(0.1)
        for writer in opened:
            writer.transport.abort()

    thread = Thread(target=asyncio.run, args=[all_of_them()])
    thread.start()
    try:
        assert done.wait(120), f"only {len(opened)} connections"
        assert len(opened) > number * 0.9
        yield
    finally:
        stopping.set()
        thread.join(60)


@pytest.fixture(scope="module")
def edge(shared_stack: Stack) -> Iterator[Edge]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Clients of many addresses, for each of which there is a limit.
    settings = {"NGINX_WORKERS": str(WORKERS), "LIMIT_CONNECTIONS": str(IDLE)}
    with running_edge(shared_stack, LIMIT_REQUESTS_PER_SECOND=str(IDLE), **settings) as edge:
        yield edge
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def workers(edge: Edge) -> set[str]:
    """Return the processes that take connections."""
    lines = docker("top", edge.containers("nginx")[0], "-eo", "pid,args").splitlines()
    staying = [one for one in lines if "nginx: worker" in one and "shutting down" not in one]
    return {line.split()[0] for line in staying}


def test_idle_clients_and_a_reload_fit_into_its_memory(edge: Edge) -> None:
    before = workers(edge)
    assert len(before) == WORKERS
    # Past Docker's own proxy, which has limits as well.
    (network,) = edge.inspect("nginx")["NetworkSettings"]["Networks"].values()
    address = network["IPAddress"]
    with idle_clients(address):
        assert edge.ask("/").status == 200
        edge.compose("kill", "--signal", "HUP", "nginx")
        wait_until(lambda: len(workers(edge) - before) == WORKERS, 30, "new workers", every=0.2)
        # The former ones let theirs go one after the other: for a moment there are two of each.
        with idle_clients(address):
            assert edge.ask("/").status == 200
    described = edge.inspect("nginx")
    assert not described["State"]["OOMKilled"]
    assert "exited on signal" not in edge.logs("nginx")
    peak = int(edge.shell("nginx", PEAK).stdout)
    assert peak < described["HostConfig"]["Memory"] * 0.9


@pytest.mark.parametrize("size", [15_000, 60_000])
def test_bodies_that_do_not_end_fit_into_its_memory(edge: Edge, size: int) -> None:
    """Those that find no room are to come again."""
    edge.compose("restart", "nginx")
    edge.wait_until_it_passes_on()
    before = workers(edge)
    (network,) = edge.inspect("nginx")["NetworkSettings"]["Networks"].values()
    head = f"POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: {size + 1}\r\n\r\n"
    with idle_clients(network["IPAddress"], BUSY, head.encode() + b"x" * size):
        pass
    assert workers(edge) == before
    assert edge.accesses("status", "500") == []
    wait_until(lambda: edge.ask("/").status == 200, 30, "an answer")


@contextmanager
def asking(edge: Edge) -> Iterator[Counter[int]]:
    """Have some clients ask on and on; count what they get."""
    statuses: Counter[int] = Counter()
    stopping = Event()

    def ask_on() -> None:
        while not stopping.is_set():
            statuses[edge.ask("/").status] += 1

    threads = [Thread(target=ask_on) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stopping.set()
        for thread in threads:
            thread.join(60)


def test_no_client_notices_that_a_container_goes(edge: Edge) -> None:
    """Its address is gone at once; nginx hears of that when it asks for the addresses again."""
    for _ in range(GOING):
        assert set(statuses_while_one_goes(edge)) == {200}


def statuses_while_one_goes(edge: Edge) -> Counter[int]:
    other = edge.start_server()
    name = other[:12]
    wait_until(lambda: edge.ask("/").headers["X-Server"] == name, 30, "its answer", every=0.05)
    with asking(edge) as statuses:
        docker("rm", "--force", other)
        time.sleep(FORGOTTEN_SECONDS)  # in which all of it happens
    return statuses
