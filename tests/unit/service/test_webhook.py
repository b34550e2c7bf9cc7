"""The webhook handler, against a real receiver: what is sent, and what each status means."""

from __future__ import annotations

import base64
import re
import socket
from dataclasses import replace
from decimal import Decimal

import pytest
import simplejson

from service.processing.handlers import Handler, OrderRejected, OrderTask, ReceiverAway
from tests.support.hook_receiver import HookReceiver, reply
from tests.unit.service.conftest import PLAIN_SECRET, MakeHook

SECONDS = 10.0


def test_posts_the_order(receiver: HookReceiver, hook: Handler, task: OrderTask) -> None:
    hook(task)
    [call] = receiver.calls
    assert call.line == "POST /hook?shop=1 HTTP/1.1"
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Authorization"] is None
    order = simplejson.loads(call.body, parse_float=Decimal)
    assert order["order_id"] == 2**63 - 1
    assert (order["user_id"], order["item_ids"]) == (456, [1, 2, 3])
    assert order["total_amount"] == Decimal("9999999999.99")
    assert re.fullmatch(r"2026-01-02T03:04:05\.678(000)?Z", order["created_at"])


def test_each_attempt_has_the_same_token(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    receiver.answer = reply(500)
    for attempt in (1, 2, 3):
        with pytest.raises(ConnectionError):
            hook(replace(task, attempt=attempt))
    tokens = {call.headers["Idempotency-Key"] for call in receiver.calls}
    assert tokens == {task.idempotency_token}
    assert len(receiver.calls) == 3


# The user and the password that are sent; none of them is readable in the request.
@pytest.mark.parametrize(
    ("credentials", "pair"),
    [
        ("shop:pass", "shop:pass"),
        ("us%C3%A9r:p%40ss%3Aword%2F", "usér:p@ss:word/"),
        ("usér:pä@ss", "usér:pä@ss"),
        ("shop", "shop:"),
    ],
)
def test_credentials_are_sent_as_basic(
    receiver: HookReceiver, make_hook: MakeHook, task: OrderTask, credentials: str, pair: str
) -> None:
    make_hook(receiver.url.replace("http://", f"http://{credentials}@"))(task)
    [call] = receiver.calls
    kind, _, encoded = call.headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(encoded).decode()) == ("Basic", pair)
    assert call.line == "POST /hook?shop=1 HTTP/1.1"
    assert call.headers["Host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/a%2Fb%41/?x=%20&y=a+b%2B", "/a%2Fb%41/?x=%20&y=a+b%2B"),
        ("//a/../b", "//a/../b"),
        ("/my shop/é?q=ü", "/my%20shop/%C3%A9?q=%C3%BC"),
        ("/a#fragment", "/a"),
    ],
)
def test_the_address_is_sent_as_it_is_given(
    receiver: HookReceiver, make_hook: MakeHook, task: OrderTask, target: str, sent: str
) -> None:
    make_hook(f"http://127.0.0.1:{receiver.port}{target}")(task)
    assert [call.line for call in receiver.calls] == [f"POST {sent} HTTP/1.1"]


@pytest.mark.parametrize("status", [200, 204, 299])
def test_2xx_completes(receiver: HookReceiver, hook: Handler, task: OrderTask, status: int) -> None:
    receiver.answer = reply(status, Retry_After=60)
    hook(task)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 499])
def test_4xx_fails_for_good(
    receiver: HookReceiver, hook: Handler, task: OrderTask, status: int
) -> None:
    receiver.answer = reply(status)
    with pytest.raises(OrderRejected, match=str(status)) as caught:
        hook(task)
    assert PLAIN_SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 599, 304, 600])
def test_anything_else_is_retried(
    receiver: HookReceiver, hook: Handler, task: OrderTask, status: int
) -> None:
    receiver.answer = reply(status)
    with pytest.raises(ConnectionError, match=str(status)):
        hook(task)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_who_is_overloaded_or_behind_a_proxy_that_misses_it_is_away(
    receiver: HookReceiver, hook: Handler, task: OrderTask, status: int
) -> None:
    receiver.answer = reply(status)
    with pytest.raises(ReceiverAway, match=str(status)) as caught:
        hook(task)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    receiver: HookReceiver, hook: Handler, task: OrderTask, status: int
) -> None:
    receiver.answer = reply(status, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")
    with pytest.raises(ConnectionError, match=str(status)):
        hook(task)
    assert [call.line for call in receiver.calls] == ["POST /hook?shop=1 HTTP/1.1"]


@pytest.mark.parametrize("status", [200, 500])
def test_a_connection_is_used_again(
    receiver: HookReceiver, hook: Handler, task: OrderTask, status: int
) -> None:
    receiver.answer = reply(status, b"a body that nobody needs" * 100)
    for _ in range(3):
        try:
            hook(task)
        except ConnectionError:
            assert status == 500
    assert (len(receiver.calls), len(receiver.connections)) == (3, 1)


def test_a_connection_that_was_closed_is_replaced(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    receiver.hangs_up = True
    for _ in range(3):
        hook(task)
        assert receiver.hung_up.wait(SECONDS)
        receiver.hung_up.clear()
    assert (len(receiver.calls), len(receiver.connections)) == (3, 3)


def test_a_connection_that_is_closed_while_it_is_used_again_is_nobodys_absence(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    def once(connection: socket.socket) -> None:
        used = [call.client for call in receiver.calls].count(connection.getpeername())
        if used == 1:
            connection.sendall(reply())
        else:
            connection.shutdown(socket.SHUT_RDWR)

    receiver.answer = once
    hook(task)
    hook(task)
    assert (len(receiver.calls), len(receiver.connections)) == (3, 2)
    assert len({call.headers["webhook-signature"] for call in receiver.calls[1:]}) == 1
