"""The handler that POSTs each order to a receiver, by Standard Webhooks 1.0
(https://www.standardwebhooks.com/)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit, urlunsplit

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
# Too many requests, and what a proxy says whose server is gone.
AWAY_STATUSES = (429, 502, 503, 504)


class Webhook:
    """POSTs orders to `url`, over at most `connections` connections at once.

    The body is signed with each of `secrets`, of which the first is the present one; the order's
    token is the `webhook-id` and the `Idempotency-Key`. 2xx is success, whatever follows it. 4xx
    (but 408, 425 and 429) raises `OrderRejected`. `ReceiverAway` is raised where there is no
    answer in time, for 429, 502, 503, 504, and for every other failure that names a `Retry-After`.
    Anything else, redirects included, is worth another attempt.
    """

    def __init__(self, url: str, secrets: list[str], connections: int) -> None:
        address, self._authorization = _split_credentials(url)
        self._url = URL(address, encoded=True)
        self._secret = secrets[0].encode()
        self._signers = [make_signer(secret) for secret in secrets]
        self._connections = max(1, connections)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Webhook:
        """Make the handler that the settings describe.

        Raises:
            ConfigError: the address or the secret is missing.
        """
        if settings.webhook_url is None or settings.webhook_secret is None:
            raise ConfigError("WEBHOOK_URL and WEBHOOK_SECRET are needed by the webhook handler")
        secrets = [settings.webhook_secret, settings.webhook_secret_previous]
        return cls(
            settings.webhook_url,
            [secret for secret in secrets if secret is not None],
            settings.processor_threads,
        )

    async def __call__(self, task: OrderTask) -> None:
        """Call the receiver with the order."""
        body = _body(task)
        try:
            async with self._open().post(
                self._url, data=body, headers=self._headers(task, body), allow_redirects=False
            ) as response:
                status, headers = response.status, response.headers
                await _take_body(response)
        except (TimeoutError, aiohttp.ClientError, OSError) as problem:
            raise ReceiverAway(f"webhook: no answer ({type(problem).__name__})") from problem
        judge(status, headers)

    def _open(self) -> aiohttp.ClientSession:
        # On the loop, where nothing else runs in between.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                timeout=aiohttp.ClientTimeout(total=DEADLINE, sock_connect=CONNECT_TIMEOUT),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
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
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
        now = datetime.now(UTC)
        with suppress(ValueError):  # the receiver's own clock, if it tells it
            now = parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None


async def _take_body(response: aiohttp.ClientResponse) -> None:
    # What is left of it costs the connection, and nothing else: the outcome is known.
    taken = 0
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(BODY_TIMEOUT):
            while taken < MOST_BODY and (chunk := await response.content.readany()):
                taken += len(chunk)


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return the address without user and password, and the header that sends those."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    header = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return urlunsplit((parts.scheme, host, parts.path, parts.query, "")), header


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
