"""The webhook and receivers that are away, slow, or break off: who is away costs no attempt, and
what follows a status changes nothing."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from service.config import Settings
from service.processing import standard_webhooks
from service.processing.handlers import Handler, OrderRejected, OrderTask, ReceiverAway
from tests.support.hook_receiver import LONG, HookReceiver, reply
from tests.support.ports import HOST, free_port
from tests.unit.service.conftest import MakeHook

# Seconds that a call may take on a machine that is busy.
SOON = LONG / 2
MEGABYTE = 1 << 20
# By the receiver's clock, which is wrong by years.
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@contextmanager
def soon() -> Iterator[None]:
    """Check that what is done within does not take long."""
    began = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - began < SOON


def away(hook: Handler, task: OrderTask) -> ReceiverAway:
    """Return how the call says that the receiver is away."""
    with pytest.raises(ReceiverAway) as caught, soon():
        hook(task)
    return caught.value


# What Retry-After may say at `DATE`, and how many seconds that means.
TIMES = {
    "7": 7,
    "0": 0,
    "000000000120": 120,
    "9" * 30: 86_400,
    # The three forms of a date, RFC 9110.
    "Sun, 06 Nov 1994 08:51:07 GMT": 90,
    "Sunday, 06-Nov-94 08:51:07 GMT": 90,
    "Sun Nov  6 08:51:07 1994": 90,
    "Sun, 06 Nov 1994 08:00:00 GMT": 0,
}


@pytest.mark.parametrize("value", TIMES)
@pytest.mark.parametrize("status", [429, 503, 500, 403, 302])
def test_a_receiver_that_names_a_time_is_left_alone_until_then(
    receiver: HookReceiver, hook: Handler, task: OrderTask, status: int, value: str
) -> None:
    receiver.answer = reply(status, Retry_After=value, Date=DATE)
    assert away(hook, task).seconds == TIMES[value]


def test_a_date_of_a_receiver_without_a_clock_is_by_ours(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    receiver.answer = reply(503, Retry_After=until)
    assert 60 - SOON - 1 < away(hook, task).seconds <= 60


@pytest.mark.parametrize(
    "value",
    ["soon", "-1", "1.5", "٣", "Sun, 06 Nov 1994 08:49:37 +99999999999999999999", "9 Nov 99999"],
)
def test_what_names_no_time_means_nothing(
    receiver: HookReceiver, hook: Handler, task: OrderTask, value: str
) -> None:
    receiver.answer = reply(503, Retry_After=value, Date=value)
    assert away(hook, task).retry_after is None
    receiver.answer = reply(500, Retry_After=value, Date=value)
    with pytest.raises(ConnectionError):
        hook(task)


def test_nobody_there_is_away(make_hook: MakeHook, task: OrderTask) -> None:
    assert away(make_hook(f"http://{HOST}:{free_port()}/"), task).retry_after is None


def test_nobody_who_takes_the_connection_is_away(
    make_hook: MakeHook, task: OrderTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_webhooks, "CONNECT_TIMEOUT", 0.1)
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        address = full.getsockname()
        # The kernel keeps as many as wait to be accepted, and leaves the next without an answer.
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        away(make_hook(f"http://{HOST}:{address[1]}/"), task)


def test_silence_is_away(
    receiver: HookReceiver, hook: Handler, task: OrderTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_webhooks, "DEADLINE", 0.1)
    receiver.answer = receiver.silence
    away(hook, task)
    assert len(receiver.calls) == 1


def test_a_head_byte_by_byte_has_one_deadline(
    receiver: HookReceiver, hook: Handler, task: OrderTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_webhooks, "DEADLINE", 0.3)

    def drip(connection: socket.socket) -> None:
        ends = time.monotonic() + LONG
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while time.monotonic() < ends and not receiver.ended.wait(0.02):
            connection.sendall(b"a")
        connection.shutdown(socket.SHUT_RDWR)

    receiver.answer = drip
    away(hook, task)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_connection_that_ends_before_the_answer_is_away(
    receiver: HookReceiver, hook: Handler, task: OrderTask, answer: bytes
) -> None:
    receiver.answer, receiver.hangs_up = answer, True
    away(hook, task)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", reply(200, Content_Length="x"), b"HTTP/1.1 200 OK\r\n" * 2]
)
def test_who_answers_in_another_language_is_there(
    receiver: HookReceiver, hook: Handler, task: OrderTask, answer: bytes
) -> None:
    receiver.answer, receiver.hangs_up = answer, True
    with pytest.raises(ConnectionError, match="no HTTP"):
        hook(task)


def test_a_call_ends_before_its_attempt_does() -> None:
    longest = standard_webhooks.DEADLINE + standard_webhooks.BODY_TIMEOUT
    assert standard_webhooks.CONNECT_TIMEOUT < standard_webhooks.DEADLINE
    assert longest < Settings().processor_handler_timeout_seconds


@pytest.mark.parametrize(
    "end",
    [
        {"body": b"no gzip at all", "Content_Encoding": "gzip"},
        {"body": gzip.compress(b"a" * 1000)[:20], "Content_Encoding": "gzip"},
        {"body": b"too short", "Content_Length": 1000},
        {"body": b"", "Content_Length": 1000},
    ],
)
def test_a_status_counts_whatever_the_body_does(
    receiver: HookReceiver, hook: Handler, task: OrderTask, end: dict[str, object]
) -> None:
    receiver.hangs_up = True
    receiver.answer = reply(200, **end)  # type: ignore[arg-type]
    hook(task)
    receiver.answer = reply(400, **end)  # type: ignore[arg-type]
    with pytest.raises(OrderRejected):
        hook(task)
    assert len(receiver.calls) == 2


def test_a_body_that_does_not_come_is_not_waited_for(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(reply(200, Content_Length=1000))
        receiver.silence(connection)

    receiver.answer = stall
    with soon():
        hook(task)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 314572800\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n12c00000\r\n"],
)
def test_300_megabytes_of_body_cost_no_memory(
    receiver: HookReceiver, hook: Handler, task: OrderTask, head: bytes
) -> None:
    piece = bytes(MEGABYTE)

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        for _ in range(300):
            connection.sendall(piece)

    hook(task)  # what the first call needs once
    receiver.answer = flood
    tracemalloc.start()
    try:
        with soon():
            hook(task)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEGABYTE


INFORMATION = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def test_what_comes_before_the_final_status_decides_nothing(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    receiver.answer = INFORMATION + reply(200)
    hook(task)
    receiver.answer = INFORMATION + reply(422)
    with pytest.raises(OrderRejected, match="422"):
        hook(task)
    assert len(receiver.connections) == 1
