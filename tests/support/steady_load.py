"""A steady load, whatever is answered: what clients of a service saw, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Self

import urllib3

from tests.support.databases import order_body
from tests.support.service_process import Client

POSTS_A_SECOND = 50
# One order in so many is asked for as soon as it is accepted.
ASKED_FOR = 5
PROBE_SECONDS = 0.2
# More than wait for an answer at once.
CLIENTS = 300
IDS = count(1)


@dataclass(frozen=True)
class Answer:
    """One answer; times are those of `time.monotonic`, and a status of 0 is no answer."""

    asked: float
    answered: float
    status: int
    order_id: int
    may_retry: bool


class SteadyLoad:
    """Posts orders to a server at a fixed rate, asks for some of them, and for `/readyz` on all
    ports that are named, from the start of the block to its end."""

    def __init__(self, port: int, ready_ports: Sequence[int]) -> None:
        self._client = Client(port, CLIENTS)
        self._probed = [Client(one, 1) for one in ready_ports]
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS + len(ready_ports) + 1)
        self.posts: list[Answer] = []
        self.gets: list[Answer] = []
        self.probes: list[Answer] = []

    def __enter__(self) -> Self:
        self._pool.submit(self._post_steadily)
        for client in self._probed:
            self._pool.submit(self._probe_steadily, client)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for client in (self._client, *self._probed):
            client.close()

    @property
    def accepted(self) -> set[int]:
        """The orders that were answered with 201."""
        return {one.order_id for one in list(self.posts) if one.status == 201}

    def accepts_again(self, since: float, seconds: float) -> bool:
        """Return whether that moment is past, and whether all that was answered in the last seconds
        was accepted."""
        now = time.monotonic()
        last = [one.status for one in list(self.posts) if one.answered > now - seconds]
        return now > since + seconds and set(last) == {201}

    def silence(self) -> tuple[float, float]:
        """Return the longest time without an accepted order: its beginning and its end."""
        times = sorted(one.answered for one in self.posts if one.status == 201)
        return max(pairwise(times), key=lambda pair: pair[1] - pair[0])

    def last_refusal(self) -> float:
        """Return when an order was refused for the last time: a group may elect twice before it is
        whole again, and accepts orders in between. 0 stands for never."""
        return max((one.answered for one in self.posts if one.status != 201), default=0.0)

    def refused(self, since: float, until: float) -> bool:
        """Return whether an order was refused in that time."""
        refusals = (one for one in self.posts if one.status != 201)
        return any(one.asked < until and one.answered > since for one in refusals)

    def all_answers(self) -> list[Answer]:
        """Return what was answered to anything."""
        return [*self.posts, *self.gets, *self.probes]

    def _post_steadily(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self._pool.submit(self._post, next(IDS))
            due += 1 / POSTS_A_SECOND

    def _post(self, order_id: int) -> None:
        answer = _send(self._client, "POST", "/orders", order_id)
        self.posts.append(answer)
        if answer.status == 201 and order_id % ASKED_FOR == 0:
            self.gets.append(_send(self._client, "GET", f"/orders/{order_id}", order_id))

    def _probe_steadily(self, client: Client) -> None:
        while not self._ended.wait(PROBE_SECONDS):
            self.probes.append(_send(client, "GET", "/readyz"))


def _send(client: Client, method: str, path: str, order_id: int = 0) -> Answer:
    asked = time.monotonic()
    status, headers = 0, urllib3.HTTPHeaderDict()
    with suppress(urllib3.exceptions.HTTPError):
        post = method == "POST"
        answer = client.post(order_body(order_id)) if post else client.get(path)
        status, headers = answer.status, answer.headers
    return Answer(asked, time.monotonic(), status, order_id, "Retry-After" in headers)
