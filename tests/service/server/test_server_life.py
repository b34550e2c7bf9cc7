"""The server among idle and slow clients, and at its end."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support.calls import Calls
from tests.support.databases import locked, order_body
from tests.support.inspection import open_store
from tests.support.order_handlers import Behaviour
from tests.support.polling import wait_until
from tests.support.raw_http import RawConnection, get, post
from tests.support.service_process import Server

SECONDS = 60.0
THREADS = 4
GRACE = 30
ORDER = post(order_body(1))


@pytest.fixture
def server(tmp_path: Path, sqlite_url: str) -> Iterator[Server]:
    settings = {"WEB_THREADS": THREADS, "GRACEFUL_TIMEOUT_SECONDS": GRACE}
    with Server(tmp_path, sqlite_url, **settings) as server:
        yield server.start()


def connect(server: Server, stack: ExitStack, data: bytes) -> RawConnection:
    connection = stack.enter_context(RawConnection(server.port, SECONDS))
    connection.send(data)
    return connection


def test_clients_that_send_nothing_hold_no_thread(server: Server) -> None:
    with ExitStack() as stack:
        idle = [connect(server, stack, b"") for _ in range(THREADS * 3)]
        assert connect(server, stack, get("/ping")).answer().status == 200
        # It was answered before any of those was let go.
        assert select.select([one.socket for one in idle], [], [], 0)[0] == []


@pytest.mark.slow
def test_silent_clients_that_the_kernel_has_given_up_on_hold_no_thread_either(
    server: Server,
) -> None:
    [worker] = server.workers()
    with ExitStack() as stack:
        silent = [connect(server, stack, b"") for _ in range(THREADS * 3)]
        ports = {one.socket.getsockname()[1] for one in silent}
        # The kernel keeps a connection without a byte to itself, but not for ever.
        wait_until(lambda: server.connections_of(worker) & ports, SECONDS, "a silent connection")
        assert connect(server, stack, get("/ping")).answer().status == 200
        assert select.select([one.socket for one in silent], [], [], 0)[0] == []
        assert_stops_soon(server)


@pytest.mark.slow
def test_a_request_has_a_deadline_however_slowly_it_goes_on(server: Server) -> None:
    ended = threading.Event()
    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as clients:
        for _ in range(THREADS):
            slow = connect(server, stack, b"GET /ping HTTP/1.1\r\nX: ")
            clients.submit(drip, slow, ended)
        try:
            # They have all threads, for some time.
            assert connect(server, stack, get("/ping")).answer().status == 200
        finally:
            ended.set()
    assert "Traceback" not in server.log


@pytest.mark.slow
def test_clients_that_do_not_go_on_are_let_go(server: Server) -> None:
    part_of_head, no_body = ORDER[:60], ORDER.partition(b"{")[0]
    with ExitStack() as stack:
        stuck = [connect(server, stack, data) for data in (part_of_head, no_body) * THREADS]
        for connection in stuck:
            answer = connection.socket.recv(4096)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
        assert connect(server, stack, get("/ping")).answer().status == 200
    assert "Traceback" not in server.log


def test_clients_that_do_not_close_their_side_hold_up_nobody(server: Server) -> None:
    """The server waits for them to do it, and not in the loop that all others need."""
    close = get("/ping", fields=b"Connection: close\r\n")
    with ExitStack() as stack:
        lingering = [connect(server, stack, close) for _ in range(THREADS * 5)]
        lingering += [connect(server, stack, b"nonsense\r\n\r\n") for _ in range(THREADS)]
        for connection in lingering:
            assert connection.answer().status in (200, 400)
            # Not closed on this side.
        started = time.monotonic()
        assert connect(server, stack, get("/ping")).answer().status == 200
        # One after the other in the loop they take 2 s each.
        assert time.monotonic() - started < len(lingering)


def store_large_orders(server: Server) -> None:
    """Store as many as a page of a list has: some megabytes, more than the kernel keeps."""
    for number in range(100):
        body = order_body(number + 1, item_ids=[2**62] * 1000)
        assert server.client.post(body).status == 201


@pytest.mark.slow
def test_clients_that_take_no_answers_are_let_go(server: Server) -> None:
    store_large_orders(server)
    (worker,) = server.workers()
    before = server.connections_of(worker)
    with ExitStack() as stack:
        for _ in range(THREADS):
            connect(server, stack, get("/orders?limit=100") * 30)

        def greedy() -> set[int]:
            return server.connections_of(worker) - before

        wait_until(greedy, SECONDS, "their connections")
        wait_until(lambda: not greedy(), SECONDS, "the end of their connections", every=0.2)
    assert server.client.get("/ping").status == 200
    assert "Traceback" not in server.log


def drip(connection: RawConnection, ended: threading.Event) -> None:
    """Send a byte at a time, far more often than any time-out."""
    with suppress(OSError):
        while not ended.wait(0.2):
            connection.send(b"x")


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [b"", get("/ping"), ORDER[:60], ORDER.partition(b"{")[0]],
    ids=["silent", "kept alive", "part of a head", "no body"],
)
def test_clients_that_do_nothing_do_not_delay_the_stop(server: Server, data: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(THREADS):
            connect(server, stack, data)
        assert_stops_soon(server)


@pytest.mark.slow
def test_clients_that_take_no_answers_do_not_delay_the_stop(server: Server) -> None:
    store_large_orders(server)
    [worker] = server.workers()
    with ExitStack() as stack:
        clients = [connect(server, stack, get("/orders?limit=100") * 30) for _ in range(THREADS)]
        ports = {one.socket.getsockname()[1] for one in clients}
        wait_until(lambda: ports <= server.connections_of(worker), SECONDS, "the connections")
        assert_stops_soon(server)


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [b"GET /ping HTTP/1.1\r\nX: ", ORDER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"],
    ids=["head", "body"],
)
def test_clients_that_go_on_slowly_do_not_delay_the_stop(server: Server, data: bytes) -> None:
    ended = threading.Event()
    # So long a body that the client never comes to its end.
    data = data.replace(b"Content-Length: ", b"Content-Length: 9")
    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as clients:
        slow = [connect(server, stack, data) for _ in range(THREADS)]
        for one in slow:
            clients.submit(drip, one, ended)
        try:
            assert_stops_soon(server)
        finally:
            ended.set()


def assert_stops_soon(server: Server) -> None:
    """See that it stops long before its grace ends, as it does without any client."""
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < GRACE / 3
    assert "Traceback" not in server.log


def test_workers_end_when_their_master_was_killed(server: Server) -> None:
    server.client.close()
    os.kill(server.popen.pid, signal.SIGKILL)
    server.popen.wait(SECONDS)
    wait_until(lambda: not server.group(), SECONDS, "the end of the workers")


def test_ctrl_c_ends_what_runs_and_gives_back_the_rest(tmp_path: Path, sqlite_url: str) -> None:
    """It reaches all processes at once, while orders are at work and a request is on its way."""
    calls = Calls(tmp_path)
    settings = calls.environment | {"PROCESSOR_THREADS": 2, "SLOW_SECONDS": 1.5}
    with (
        Server(tmp_path, sqlite_url, **settings) as server,
        open_store(sqlite_url) as store,
        ExitStack() as stack,
    ):
        store.add_orders(range(2, 10), user_id=Behaviour.SLOW)
        server.start()
        client = connect(server, stack, ORDER[:-5])
        port, (worker,) = client.socket.getsockname()[1], server.workers()
        wait_until(lambda: port in server.connections_of(worker), SECONDS, "the connection")
        wait_until(lambda: len(calls.all()) >= 2, SECONDS, "two attempts under way")
        begun = {call.order_id for call in calls.all()}
        os.killpg(server.popen.pid, signal.SIGINT)
        client.send(ORDER[-5:])
        assert client.answer().status == 201
        assert server.popen.wait(SECONDS) == 0
        assert begun == {call.order_id for call in calls.all("end")}
        assert store.statuses() == {
            number: "Completed" if number in begun else "Pending" for number in range(1, 10)
        }
        assert "Traceback" not in server.log


def test_connections_are_left_to_the_worker_that_has_fewer(tmp_path: Path, sqlite_url: str) -> None:
    """One that hangs is not waited for, and gets its share when it is back."""
    with (
        Server(tmp_path, sqlite_url, WEB_CONCURRENCY=2, PROCESSOR_THREADS=0) as server,
        ExitStack() as stack,
    ):
        server.start()
        wait_until(lambda: len(server.workers()) == 2, SECONDS, "the second worker")
        workers = server.workers()

        def connect_and_count(times: int) -> dict[int, int]:
            for _ in range(times):
                assert connect(server, stack, get("/ping")).answer().status == 200
            return {pid: len(server.connections_of(pid)) for pid in workers}

        def gets_more_than(number: int, pid: int) -> bool:
            return connect_and_count(1)[pid] > number

        wait_until(lambda: all(connect_and_count(1).values()), SECONDS, "connections of both")
        for hanging, other in (workers, reversed(workers)):
            before = connect_and_count(0)
            os.kill(hanging, signal.SIGSTOP)
            stopped = connect_and_count(10)
            assert stopped == {hanging: before[hanging], other: before[other] + 10}
            os.kill(hanging, signal.SIGCONT)
            # Some may go to the other one until this one has woken up.
            wait_until(partial(gets_more_than, before[hanging], hanging), SECONDS, "its return")
            counts = connect_and_count(0)
            # A machine that is busy may wake it too late for some of them.
            for _ in range(3 * 10):
                if abs(counts[other] - counts[hanging]) <= 2:
                    break
                counts = connect_and_count(1)
            else:
                pytest.fail(f"the connections stayed uneven: {counts}")


def test_a_stop_waits_for_requests_under_way_however_many_were_served_before(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Connections that ended are counted once: else a stop waits for nobody."""
    with Server(tmp_path, sqlite_url, PROCESSOR_THREADS=0) as server, ExitStack() as stack:
        server.start()
        close = get("/ping", fields=b"Connection: close\r\n")
        for _ in range(THREADS):
            assert connect(server, stack, close).answer().status == 200
        with locked(sqlite_url):
            under_way = [connect(server, stack, post(order_body(n))) for n in range(1, THREADS)]
            [worker] = server.workers()
            ports = {one.socket.getsockname()[1] for one in under_way}
            wait_until(lambda: ports <= server.connections_of(worker), SECONDS, "the connections")
            # Their threads wait for the lock, as long as it takes to see the server stop.
            server.popen.send_signal(signal.SIGTERM)
            wait_until(lambda: "Handling signal: term" in server.log, SECONDS, "the signal")
        assert [one.answer().status for one in under_way] == [201] * len(under_way)
        assert server.popen.wait(SECONDS) == 0
