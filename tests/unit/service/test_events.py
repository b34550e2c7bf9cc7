"""One attempt to deliver an event: what is sent to a real receiver, and what its answers mean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import pytest
import simplejson
from standardwebhooks import Webhook, WebhookVerificationError

from service.config import ConfigError, Settings
from service.processing.events.loading import load_endpoint
from service.processing.events.reports import report
from service.processing.events.sender import Sender, message
from service.processing.handlers.coroutines import EventLoop
from service.storage.deliveries import Delivery, TakenEvent
from service.storage.results import Verdict
from tests.support.hook_receiver import Call, HookReceiver, reply
from tests.support.ports import HOST, free_port

WHSEC, PLAIN = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "s3cret-é"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = TakenEvent(
    id=7,
    message_id="msg_0123456789abcdef0123456789abcdef",
    type="order.failed",
    order_id=2**63 - 1,
    user_id=2**63 - 2,
    order_attempts=13,
    order_error='ConnectionError: "no" — ✗',
    traceparent=None,
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678_000),  # noqa: DTZ001 - naive UTC
    attempts=0,
    absences=0,
)
Send = Callable[..., Delivery]


@pytest.fixture
def make_send(event_loop: EventLoop) -> Iterator[Callable[..., Send]]:
    """What makes a call that sends an event to the address; connections are closed in the end."""
    made: list[Sender] = []

    def make(url: str, **secrets: str) -> Send:
        settings = Settings(events_url=url, **({"events_secret": PLAIN} | secrets))  # type: ignore[arg-type]
        endpoint = load_endpoint(settings)
        assert endpoint is not None
        sender = Sender(endpoint, (10.0, 100.0))
        made.append(sender)

        def send(event: TakenEvent = EVENT, *, probe: bool = False) -> Delivery:
            return event_loop.submit(sender.send(event, probe=probe)).result(20)

        return send

    yield make
    for sender in made:
        event_loop.submit(sender.close()).result(5)


@pytest.fixture
def send(make_send: Callable[..., Send], receiver: HookReceiver) -> Send:
    """What sends an event to the receiver."""
    return make_send(receiver.url)


def verify(call: Call, secret: str) -> object:
    key = secret if secret.startswith("whsec_") else secret.encode()
    return Webhook(key).verify(call.body, dict(call.headers.items()))


def test_what_is_sent(receiver: HookReceiver, send: Send) -> None:
    assert send().verdict is Verdict.COMPLETE
    [call] = receiver.calls
    assert simplejson.loads(call.body) == {
        "type": "order.failed",
        "timestamp": "2026-01-02T03:04:05.678000Z",
        "data": {
            "order_id": 2**63 - 1,
            "user_id": 2**63 - 2,
            "status": "Failed",
            "attempts": 13,
            "error": 'ConnectionError: "no" — ✗',
        },
    }
    assert call.headers["webhook-id"] == EVENT.message_id
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["traceparent"] is None
    assert call.headers["Idempotency-Key"] is None
    send(replace(EVENT, traceparent=TRACE, attempts=1))
    assert receiver.calls[1].headers["traceparent"] == TRACE
    assert receiver.calls[1].body == call.body


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_each_type_has_its_status(status: str) -> None:
    body = simplejson.loads(message(replace(EVENT, type=f"order.{status}")))
    assert (body["type"], body["data"]["status"]) == (f"order.{status}", status.capitalize())


@pytest.mark.parametrize(("present", "previous"), [(WHSEC, PLAIN), (PLAIN, WHSEC)])
def test_while_the_secret_is_changed_both_verify_the_event(
    receiver: HookReceiver, make_send: Callable[..., Send], present: str, previous: str
) -> None:
    make_send(receiver.url, events_secret=present, events_secret_previous=previous)()
    make_send(receiver.url, events_secret=present)()
    both, one = receiver.calls
    assert verify(both, present) == verify(both, previous) == verify(one, present)
    for call, secret in ((both, "another"), (one, previous)):
        with pytest.raises(WebhookVerificationError):
            verify(call, secret)


# Of an answer: the verdict, and whether the receiver is away.
MEANINGS = [
    (200, {}, Verdict.COMPLETE, False),
    (299, {}, Verdict.COMPLETE, False),
    *[(status, {}, Verdict.FAIL, False) for status in (400, 401, 404, 410, 422)],
    *[(status, {}, Verdict.RETRY, False) for status in (301, 408, 425, 500, 501)],
    *[(status, {}, Verdict.RETRY, True) for status in (429, 502, 503, 504)],
    (500, {"Retry_After": 120}, Verdict.RETRY, True),
]


@pytest.mark.parametrize(("status", "fields", "verdict", "away"), MEANINGS)
def test_what_an_answer_means(
    receiver: HookReceiver,
    send: Send,
    *,
    status: int,
    fields: dict[str, object],
    verdict: Verdict,
    away: bool,
) -> None:
    receiver.answer = reply(status, **fields)  # type: ignore[arg-type]
    end = send()
    assert (end.verdict, end.status, end.absence is not None) == (verdict, status, away)
    if end.absence is not None:
        assert end.absence.retry_after == (120 if fields else 0)
        assert end.absence.verdict is Verdict.RETRY
    if verdict is Verdict.RETRY:
        assert 8 <= end.delay <= 12, "the first of the delays, jittered"


def test_nobody_there_is_away(make_send: Callable[..., Send]) -> None:
    end = make_send(f"http://{HOST}:{free_port()}/")(probe=True)
    assert end.absence is not None
    assert end.probe
    assert (end.status, end.error) == (None, "no answer (ClientConnectorError)")


def test_attempts_are_used_up(receiver: HookReceiver, send: Send) -> None:
    receiver.answer = reply(500)
    second, third = (send(replace(EVENT, attempts=attempts)) for attempts in (1, 2))
    assert second.verdict is Verdict.RETRY
    assert 80 <= second.delay <= 120
    assert third.verdict is Verdict.FAIL
    receiver.answer = reply(503)
    last = send(replace(EVENT, attempts=2))
    assert last.absence is not None
    assert last.absence.verdict is Verdict.FAIL, "if it is alone with that"


def test_what_is_said_of_a_failure_names_the_orders_trace(caplog: pytest.LogCaptureFixture) -> None:
    for traceparent in (TRACE, None):
        report([Delivery(replace(EVENT, traceparent=traceparent), Verdict.FAIL, 400, "refused")])
    said = [getattr(record, "trace_id", None) for record in caplog.records]
    assert said == [TRACE[3:35], None]


def test_no_address_needs_no_client_and_a_wrong_one_is_refused() -> None:
    assert load_endpoint(Settings(events_secret=PLAIN)) is None
    with pytest.raises(ConfigError, match=r"^EVENTS_URL: its host is none"):
        load_endpoint(Settings(events_url="http://[::g]/", events_secret=PLAIN))


def test_the_http_client_is_imported_where_it_is_needed_only() -> None:
    program = (
        "import sys, service.app, service.processing.processor;sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
