"""Calls by Standard Webhooks 1.0 (https://www.standardwebhooks.com/), and what answers mean."""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from standardwebhooks import Webhook as Signer
from yarl import URL

from service.processing.handlers import LONGEST_RETRY_AFTER

# Seconds: to connect, and for the whole call, until the head of the answer is there.
CONNECT_TIMEOUT = 3.0
DEADLINE = 10.0
# What is read of an answer's body, so that the connection can be used again: bytes and seconds.
MOST_BODY, BODY_TIMEOUT = 65_536, 0.5
# Client errors that a later call may not meet: time-out, too early.
RETRYABLE_CLIENT_ERRORS = (408, 425)
# Of an address, after the host: RFC 3986.
STAYS = "%/?:@!$&'()*+,;=-._~"
# Too many requests, and what a proxy says whose server is gone.
AWAY_STATUSES = (429, 502, 503, 504)


class Meaning(Enum):
    """What an answer, or none, says about the message."""

    TAKEN = "the receiver has it"
    REFUSED = "the receiver will never take it"
    AWAY = "the receiver is away"
    FAILED = "another attempt may succeed"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended. `text` says so in words, and `status` is None where none came.

    `retry_after` is for how many seconds the receiver wants to be left alone, if it said so: at
    most `LONGEST_RETRY_AFTER`.
    """

    meaning: Meaning
    text: str
    status: int | None = None
    retry_after: float | None = None


@dataclass
class _Connection:
    """What a call is sent by; `kept` says that an earlier call has opened it."""

    kept: bool = False


async def _note_kept(_session: aiohttp.ClientSession, context: Any, _parameters: object) -> None:
    context.trace_request_ctx.kept = True


class Endpoint:
    """A receiver, for messages over at most `connections` connections at once.

    The body is signed with each of `secrets`, of which the first is the present one. 2xx means that
    it was taken, whatever follows. 4xx (but 408, 425 and 429) means that it never will be. The
    receiver is away where there is no answer in time, for 429, 502, 503, 504, and for every other
    failure that names a `Retry-After`. Anything else, redirects included, is worth another attempt.

    All calls have to be made on one event loop.

    Raises:
        ValueError: the host of the address is none.
    """

    def __init__(self, url: str, secrets: Sequence[str], connections: int) -> None:
        self._url, self._authorization = _address(url)
        self._signers = [make_signer(secret) for secret in secrets]
        self._connections = max(1, connections)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, message_id: str, body: bytes, fields: Mapping[str, str]) -> Answer:
        """Send the message; `fields` are sent beside those of Standard Webhooks."""
        headers = {**fields, **self._headers(message_id, body)}
        try:
            status, answered = await self._post(body, headers)
        except aiohttp.ClientResponseError:
            return Answer(Meaning.FAILED, "answered with what is no HTTP")
        except (TimeoutError, aiohttp.ClientError, OSError) as problem:
            return Answer(Meaning.AWAY, f"no answer ({type(problem).__name__})")
        return judge(status, answered)

    async def close(self) -> None:
        """Close the connections that are kept."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
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

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC)
        text = body.decode()
        signatures = (
            signer.sign(msg_id=message_id, timestamp=now, data=text) for signer in self._signers
        )
        return {
            "Content-Type": "application/json",
            "User-Agent": "order-service",
            "webhook-id": message_id,
            "webhook-timestamp": str(math.floor(now.timestamp())),
            "webhook-signature": " ".join(signatures),
            **self._authorization,
        }


def make_signer(secret: str) -> Signer:
    """Return what signs with this secret: the bytes that follow `whsec_` in base64, or its text.

    Raises:
        ValueError: it begins with `whsec_`, and no base64 follows.
    """
    return Signer(secret if secret.startswith("whsec_") else secret.encode())


def judge(status: int, headers: Mapping[str, str]) -> Answer:
    """Return what an answer means."""
    if 200 <= status < 300:  # noqa: PLR2004 - the class of success, RFC 9110
        return Answer(Meaning.TAKEN, f"answered with status {status}", status)
    retry_after = _retry_after(headers)
    if status in AWAY_STATUSES or retry_after is not None:
        return Answer(Meaning.AWAY, f"answered with status {status}", status, retry_after)
    if 400 <= status < 500 and status not in RETRYABLE_CLIENT_ERRORS:  # noqa: PLR2004
        return Answer(Meaning.REFUSED, f"refused with status {status}", status)
    return Answer(Meaning.FAILED, f"answered with status {status}", status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` names, by number or by date; None if it names none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    then = _moment(text)
    if then is None:
        return None
    # By the receiver's own clock, if it tells it.
    now = _moment(headers.get("Date", "")) or datetime.now(UTC)
    return min(max(0.0, (then - now).total_seconds()), LONGEST_RETRY_AFTER)


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
