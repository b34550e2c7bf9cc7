"""The server among idle and slow clients, and at its end."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import AUTHORIZATION, Server

pytestmark = pytest.mark.slow

THREADS = 16
# What a request may take while others are stuck: far below any time-out on its way.
PROMPT_SECONDS = 2
HEAD = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
AUTH = f"Authorization: {AUTHORIZATION['authorization']}\r\n".encode()
STARTS = {
    "nothing": b"",
    "a part of the headers": HEAD,
    "no body": HEAD + AUTH + b"Content-Length: 100\r\n\r\n",
}


@pytest.fixture
def server(tmp_path: Path, sqlite_url: str) -> Iterator[Server]:
    with Server(tmp_path, sqlite_url, WEB_THREADS=THREADS) as server:
        yield server.start()


def assert_prompt(server: Server) -> None:
    started = time.monotonic()
    assert server.client.get("/ping").status == 200
    assert time.monotonic() - started < PROMPT_SECONDS


def connect(server: Server, stack: ExitStack, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    stack.enter_context(connection)
    connection.sendall(data)
    return connection


def test_clients_that_send_nothing_hold_no_thread(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(THREADS * 3):
            connect(server, stack, b"")
        assert_prompt(server)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_slow_clients_are_let_go(server: Server, start: bytes) -> None:
    with ExitStack() as stack:
        connections = [connect(server, stack, start) for _ in range(THREADS)]
        if not start:
            assert_prompt(server)
            return
        for connection in connections:
            answer = connection.recv(4096)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
        assert_prompt(server)
    assert "Traceback" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_connection_does_not_delay_the_stop(server: Server, number: int) -> None:
    server.client.get("/ping")
    started = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - started < 10
    assert "Traceback" not in server.log


def test_workers_end_when_their_master_was_killed(server: Server) -> None:
    server.client.get("/ping")
    os.kill(server.popen.pid, signal.SIGKILL)
    server.popen.wait(10)
    wait_until(lambda: not server.group(), 10, "the end of the workers")


def test_ctrl_c_reaches_all_processes_at_once(server: Server) -> None:
    os.killpg(server.popen.pid, signal.SIGINT)
    assert server.popen.wait(10) == 0
    assert "Traceback" not in server.log


def connections_of(pid: int, port: int) -> int:
    """Count the process's open connections on that port of the server."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = "01"
    ours = {
        f"socket:[{row[9]}]"
        for row in rows
        if int(row[1].partition(":")[2], 16) == port and row[3] == established
    }
    return sum(str(path.readlink()) in ours for path in Path(f"/proc/{pid}/fd").iterdir())


def test_clients_that_take_no_answers_are_let_go(server: Server) -> None:
    # Answers of some megabytes, more than the kernel keeps for a client.
    for number in range(100):
        body = order_body(number + 1, item_ids=[2**62] * 1000)
        assert server.client.post(body).status == 201
    (worker,) = server.workers()
    before = connections_of(worker, server.port)
    lists = (b"GET /orders?limit=100 HTTP/1.1\r\nHost: localhost\r\n" + AUTH + b"\r\n") * 30
    with ExitStack() as stack:
        for _ in range(4):
            connect(server, stack, lists)

        def greedy() -> int:
            return connections_of(worker, server.port) - before

        wait_until(lambda: greedy() > 0, 20, "their connections")
        wait_until(lambda: greedy() <= 0, 60, "the end of their connections", every=0.2)
    assert_prompt(server)
    assert "Traceback" not in server.log


def test_connections_are_left_to_the_worker_that_has_fewer(tmp_path: Path, sqlite_url: str) -> None:
    """One that hangs is not waited for, and gets its share when it is back."""
    ping = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

    with (
        Server(tmp_path, sqlite_url, WEB_CONCURRENCY=2, PROCESSOR_THREADS=0) as server,
        ExitStack() as stack,
    ):
        server.start()
        wait_until(lambda: len(server.workers()) == 2, 10, "the second worker")
        workers = server.workers()

        def connect_and_count(times: int) -> dict[int, int]:
            for _ in range(times):
                assert b"200 OK" in connect(server, stack, ping).recv(4096)
            return {pid: connections_of(pid, server.port) for pid in workers}

        wait_until(lambda: all(connect_and_count(1).values()), 10, "connections of both")
        for hanging, other in (workers, reversed(workers)):
            before = connect_and_count(0)
            os.kill(hanging, signal.SIGSTOP)
            stopped = connect_and_count(10)
            assert stopped == {hanging: before[hanging], other: before[other] + 10}
            os.kill(hanging, signal.SIGCONT)
            # Some may go to the other one until this one has woken up.
            wait_until(lambda: connect_and_count(1)[hanging] > before[hanging], 10, "its return")  # noqa: B023
            counts = connect_and_count(0)
            behind = counts[other] - counts[hanging]
            evened = connect_and_count(max(behind, 0))
            assert abs(evened[other] - evened[hanging]) <= 5, evened
