"""One attempt to deliver an event: the call, and what follows from its answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import simplejson

from service.processing.retries import describe, retry_delay
from service.processing.standard_webhooks import Answer, Endpoint, Meaning
from service.storage.deliveries import Delivery, TakenEvent
from service.storage.moments import format_moment
from service.storage.results import Absence, Verdict
from service.telemetry import tracing

PREFIX = "order."


class Sender:
    """Sends events to the receiver; `delays` are those of the settings.

    All calls have to be made on one event loop.
    """

    def __init__(self, endpoint: Endpoint, delays: Sequence[float]) -> None:
        self._endpoint = endpoint
        self._delays = delays
        self._last_success = 0.0

    async def send(self, event: TakenEvent, *, probe: bool) -> Delivery:
        """Make an attempt; `probe` says that it tries a receiver that was away."""
        began = time.monotonic()
        try:
            with tracing.calling("POST event", event.traceparent) as call:
                answer = await self._endpoint.call(event.message_id, message(event), call.fields)
                call.status = answer.status
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this attempt alone
            answer = Answer(Meaning.FAILED, describe(error))
        if answer.meaning is Meaning.TAKEN:
            self._last_success = time.monotonic()
        others_succeed = self._last_success > began
        return ending(event, answer, self._delays, probe=probe, others_succeed=others_succeed)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._endpoint.close()


def message(event: TakenEvent) -> bytes:
    """Return the body that tells of the event: the same at each attempt."""
    status = event.type.removeprefix(PREFIX).capitalize()
    body: str = simplejson.dumps(
        {
            "type": event.type,
            "timestamp": format_moment(event.created_at),
            "data": {
                "order_id": event.order_id,
                "user_id": event.user_id,
                "status": status,
                "attempts": event.order_attempts,
                "error": event.order_error,
            },
        }
    )
    return body.encode()


def ending(
    event: TakenEvent,
    answer: Answer,
    delays: Sequence[float],
    *,
    probe: bool,
    others_succeed: bool,
) -> Delivery:
    """Return what becomes of the event after this answer."""
    if answer.meaning is Meaning.TAKEN:
        return Delivery(event, Verdict.COMPLETE, answer.status, probe=probe)
    verdict, delay = Verdict.FAIL, 0.0
    if answer.meaning is not Meaning.REFUSED and event.attempts < len(delays):
        verdict, delay = Verdict.RETRY, retry_delay(delays[event.attempts])
    absence = None
    if answer.meaning is Meaning.AWAY:
        absence = Absence(answer.retry_after or 0.0, others_succeed, verdict, delay)
    return Delivery(event, verdict, answer.status, answer.text, delay, probe, absence)
