"""The handler that POSTs each order to a receiver, by Standard Webhooks 1.0
(https://www.standardwebhooks.com/)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import simplejson
from standardwebhooks import Webhook as Signer
from yarl import URL

from service.config import ConfigError, Settings
from service.processing.handlers import OrderRejected, OrderTask, ReceiverAway
from service.storage.moments import format_moment

# Seconds: to connect, and for the whole call, until the head of the answer is there.
CONNECT_TIMEOUT = 3.0
DEADLINE = 10.0
# What is read of an answer's body, so that the connection can be used again: bytes and seconds.
MOST_BODY, BODY_TIMEOUT = 65_536, 0.5
SIGNATURE_HEADER = "X-Signature-256"
# Client errors that a later call may not meet: time-out, too early.
RETRYABLE_CLIENT_ERRORS = (408, 425)
# Of an address, after the host: RFC 3986.
STAYS = "%/?:@!$&'()*+,;=-._~"
# Too many requests, and what a proxy says whose server is gone.
AWAY_STATUSES = (429, 502, 503, 504)


@dataclass
class _Connection:
    """What a call is sent by; `kept` says that an earlier call has opened it."""

    kept: bool = False


async def _note_kept(_session: aiohttp.ClientSession, context: Any, _parameters: object) -> None:
    context.trace_request_ctx.kept = True


class Webhook:
    """POSTs orders to `url`, over at most `connections` connections at once.

    The body is signed with each of `secrets`, of which the first is the present one; the order's
    token is the `webhook-id` and the `Idempotency-Key`. 2xx is success, whatever follows it. 4xx
    (but 408, 425 and 429) raises `OrderRejected`. `ReceiverAway` is raised where there is no
    answer in time, for 429, 502, 503, 504, and for every other failure that names a `Retry-After`.
    Anything else, redirects included, is worth another attempt.
    """

    def __init__(self, url: str, secrets: list[str], connections: int) -> None:
        self._url, self._authorization = _address(url)
        self._secret = secrets[0].encode()
        self._signers = [make_signer(secret) for secret in secrets]
        self._connections = max(1, connections)
        self._session: aiohttp.ClientSession | None = None

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
        try:
            status, headers = await self._post(body, self._headers(task, body))
        except aiohttp.ClientResponseError as problem:
            raise ConnectionError("webhook: answered with what is no HTTP") from problem
        except (TimeoutError, aiohttp.ClientError, OSError) as problem:
            raise ReceiverAway(f"webhook: no answer ({type(problem).__name__})") from problem
        judge(status, headers)

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, Mapping[str, str]]:
        ends = time.monotonic() + DEADLINE
        while True:
            connection = _Connection()
            left = max(0.01, ends - time.monotonic())
            try:
                async with self._open().post(
                    self._url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=left, sock_connect=CONNECT_TIMEOUT),
                    trace_request_ctx=connection,
                ) as response:
                    await _take_body(response)
                    return response.status, response.headers
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A receiver may close a connection that was kept just when it is used again.
                if not connection.kept:
                    raise

    def _open(self) -> aiohttp.ClientSession:
        # On the loop, where nothing else runs in between.
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_reuseconn.append(_note_kept)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[tracing],
            )
        return self._session

    def _headers(self, task: OrderTask, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC)
        text = body.decode()
        signatures = (
            signer.sign(msg_id=task.idempotency_token, timestamp=now, data=text)
            for signer in self._signers
        )
        return {
            "Content-Type": "application/json",
            "User-Agent": "order-service",
            "Idempotency-Key": task.idempotency_token,
            "webhook-id": task.idempotency_token,
            "webhook-timestamp": str(math.floor(now.timestamp())),
            "webhook-signature": " ".join(signatures),
            SIGNATURE_HEADER: f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}",
            **self._authorization,
        }


def make_signer(secret: str) -> Signer:
    """Return what signs with this secret: the bytes that follow `whsec_` in base64, or its text.

    Raises:
        ValueError: it begins with `whsec_`, and no base64 follows.
    """
    return Signer(secret if secret.startswith("whsec_") else secret.encode())


def judge(status: int, headers: Mapping[str, str]) -> None:
    """Return for an answer that means success; raise what any other means."""
    if 200 <= status < 300:  # noqa: PLR2004 - the class of success, RFC 9110
        return
    retry_after = _retry_after(headers)
    if status in AWAY_STATUSES or retry_after is not None:
        raise ReceiverAway(f"webhook: answered with status {status}", retry_after)
    if 400 <= status < 500 and status not in RETRYABLE_CLIENT_ERRORS:  # noqa: PLR2004
        raise OrderRejected(f"webhook: refused with status {status}")
    raise ConnectionError(f"webhook: answered with status {status}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` names, by number or by date; None if it names none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    then = _moment(text)
    if then is None:
        return None
    # By the receiver's own clock, if it tells it.
    now = _moment(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # One of the forms of RFC 9110 names no zone: it is UTC.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _take_body(response: aiohttp.ClientResponse) -> None:
    # What is left of it costs the connection, and nothing else: the outcome is known.
    taken = 0
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(BODY_TIMEOUT):
            while taken < MOST_BODY and (chunk := await response.content.readany()):
                taken += len(chunk)


def _address(url: str) -> tuple[URL, dict[str, str]]:
    """Return the address without user and password, and the header that sends those.

    What is encoded in the address stays as it is, and what would have to be is encoded.

    Raises:
        ValueError: the host is none.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    origin = URL(f"{parts.scheme}://{host}").origin()
    target = (parts.path or "/") + (parts.query and f"?{parts.query}")
    address = URL(f"{origin}{quote(target, safe=STAYS)}", encoded=True)
    if not at:
        return address, {}
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return address, {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


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
