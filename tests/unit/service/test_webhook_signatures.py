"""The webhook's signatures, verified as receivers do: by the package of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.processing.attempt import Attempt
from service.processing.handlers import Handler, OrderTask
from service.storage.claims import Claim
from tests.support.hook_receiver import Call, HookReceiver
from tests.unit.service.conftest import PLAIN_SECRET, MakeHook

KEY = bytes(range(24))
# As Standard Webhooks write it, and without the padding that some leave out.
WHSEC = "whsec_" + base64.b64encode(KEY).decode()
WHSEC_PREVIOUS = "whsec_" + base64.b64encode(KEY[:-2]).decode().rstrip("=")


def verify(call: Call, secret: str | bytes) -> object:
    """Return the order, as a receiver that has this secret does."""
    return Webhook(secret).verify(call.body, dict(call.headers.items()))


@pytest.mark.parametrize(
    ("secret", "key"), [(WHSEC, KEY), (WHSEC_PREVIOUS, KEY[:-2]), (PLAIN_SECRET, None)]
)
def test_the_secret_verifies_the_call(
    receiver: HookReceiver, make_hook: MakeHook, task: OrderTask, secret: str, key: bytes | None
) -> None:
    make_hook(receiver.url, webhook_secret=secret)(task)
    [call] = receiver.calls
    order = verify(call, secret.encode() if key is None else secret)
    assert isinstance(order, dict)
    assert order["order_id"] == task.order_id
    assert verify(call, key or secret.encode()) == order
    assert len(call.headers["webhook-signature"].split()) == 1
    assert secret.removeprefix("whsec_").encode() not in call.body + str(call.headers).encode()


@pytest.mark.parametrize(
    ("present", "previous"),
    [(WHSEC, WHSEC_PREVIOUS), (WHSEC, PLAIN_SECRET), (PLAIN_SECRET, WHSEC)],
)
def test_while_the_secret_is_changed_both_verify_the_call(
    receiver: HookReceiver, make_hook: MakeHook, task: OrderTask, present: str, previous: str
) -> None:
    make_hook(receiver.url, webhook_secret=present, webhook_secret_previous=previous)(task)
    [call] = receiver.calls
    for secret in (present, previous):
        known = secret if secret.startswith("whsec_") else secret.encode()
        assert verify(call, known), f"a receiver that knows only {secret}"
    with pytest.raises(WebhookVerificationError):
        verify(call, b"another secret")


def test_a_changed_body_id_or_time_is_noticed(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    hook(task)
    [call] = receiver.calls
    secret = PLAIN_SECRET.encode()
    assert verify(call, secret)
    with pytest.raises(WebhookVerificationError):
        verify(replace(call, body=call.body.replace(b"456", b"457")), secret)
    for name, value in (
        ("webhook-id", "order-1"),
        ("webhook-timestamp", str(int(call.headers["webhook-timestamp"]) - 1)),
    ):
        genuine = call.headers[name]
        call.headers.replace_header(name, value)
        with pytest.raises(WebhookVerificationError):
            verify(call, secret)
        call.headers.replace_header(name, genuine)


def test_the_time_is_that_of_the_attempt(
    receiver: HookReceiver, hook: Handler, task: OrderTask
) -> None:
    before = time.time()
    hook(task)
    [call] = receiver.calls
    assert int(before) <= int(call.headers["webhook-timestamp"]) <= time.time()


@pytest.mark.parametrize("secret", [WHSEC, PLAIN_SECRET])
def test_the_former_signature_is_of_the_body_by_the_present_secrets_text(
    receiver: HookReceiver, make_hook: MakeHook, task: OrderTask, secret: str
) -> None:
    make_hook(receiver.url, webhook_secret=secret, webhook_secret_previous="other")(task)
    [call] = receiver.calls
    digest = hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
    assert call.headers["X-Signature-256"] == f"sha256={digest}"


def test_a_retry_with_a_new_key_is_another_message(receiver: HookReceiver, hook: Handler) -> None:
    first = Claim(1, 1, 1, 7, 1, [1], Decimal(1), datetime.now(UTC))
    for claim in (first, replace(first, attempt=2), replace(first, attempt=3, key_version=1)):
        hook(Attempt(claim, time.monotonic() + 60).task())
    ids = [call.headers["webhook-id"] for call in receiver.calls]
    assert ids[0] == ids[1] != ids[2]
    assert [call.headers["Idempotency-Key"] for call in receiver.calls] == ids
