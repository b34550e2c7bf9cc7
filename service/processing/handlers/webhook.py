"""The handler that POSTs each order to a receiver, by Standard Webhooks 1.0."""

from __future__ import annotations

import hashlib
import hmac

import simplejson

from service.config import ConfigError, Settings
from service.processing.handlers import OrderRejected, OrderTask, ReceiverAway
from service.processing.standard_webhooks import Answer, Endpoint, Meaning
from service.storage.moments import format_moment
from service.telemetry import tracing

SIGNATURE_HEADER = "X-Signature-256"


class Webhook:
    """POSTs orders to `url`, over at most `connections` connections at once.

    The order's token is the `webhook-id` and the `Idempotency-Key`. What an answer means, see
    `service.processing.standard_webhooks.Endpoint`: it completes the order, or raises
    `OrderRejected`, `ReceiverAway`, or what is worth another attempt.
    """

    def __init__(self, url: str, secrets: list[str], connections: int) -> None:
        self._endpoint = Endpoint(url, secrets, connections)
        self._secret = secrets[0].encode()

    @classmethod
    def from_settings(cls, settings: Settings) -> Webhook:
        """Make the handler that the settings describe.

        Raises:
            ConfigError: the address or the secret is missing, or the address is none.
        """
        if settings.webhook_url is None or settings.webhook_secret is None:
            raise ConfigError("WEBHOOK_URL and WEBHOOK_SECRET are needed by the webhook handler")
        secrets = [settings.webhook_secret, settings.webhook_secret_previous]
        given = [secret for secret in secrets if secret is not None]
        try:
            return cls(settings.webhook_url, given, settings.processor_threads)
        except ValueError:
            raise ConfigError(
                "WEBHOOK_URL: its host is none; expected https://host/path or http://host/path"
            ) from None

    async def __call__(self, task: OrderTask) -> None:
        """Call the receiver with the order."""
        body = _body(task)
        fields = {
            "Idempotency-Key": task.idempotency_token,
            SIGNATURE_HEADER: f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}",
        }
        with tracing.calling("POST webhook", task.traceparent) as call:
            fields |= call.fields
            answer = await self._endpoint.call(task.idempotency_token, body, fields)
            call.status = answer.status
        raise_for(answer)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._endpoint.close()


def raise_for(answer: Answer) -> None:
    """Return for an answer that means success; raise what any other means."""
    text = f"webhook: {answer.text}"
    match answer.meaning:
        case Meaning.AWAY:
            raise ReceiverAway(text, answer.retry_after)
        case Meaning.REFUSED:
            raise OrderRejected(text)
        case Meaning.FAILED:
            raise ConnectionError(text)


def _body(task: OrderTask) -> bytes:
    body: str = simplejson.dumps(
        {
            "order_id": task.order_id,
            "user_id": task.user_id,
            "item_ids": task.item_ids,
            "total_amount": task.total_amount,
            "created_at": format_moment(task.created_at),
            "attempt": task.attempt,
            "idempotency_token": task.idempotency_token,
        },
        use_decimal=True,
    )
    return body.encode()
