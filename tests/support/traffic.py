"""Clients that never try again: each request has to be answered, and as the contract says."""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import count
from typing import Self

import urllib3

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import Client

LONGEST = 600.0
MOST_ORDERS = 60_000
# Of each Traffic; far from what single tests post.
_first_ids = count(1_000_000_000, MOST_ORDERS)
# Seconds between two orders of a client: four of them leave the machine to what is tried.
PAUSE = 0.25


class Traffic:
    """Threads that post an order and read it again, on kept and on new connections by turns."""

    def __init__(self, client: Client, threads: int = 4, pause: float = PAUSE) -> None:
        self._client, self._pause = client, pause
        first_id = next(_first_ids)
        self._ids = iter(range(first_id, first_id + MOST_ORDERS))
        self._stopping = threading.Event()
        self._deadline = time.monotonic() + LONGEST
        self._lock = threading.Lock()
        self.accepted: list[int] = []
        self.answers: Counter[str] = Counter()
        self.problems: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number % 2 == 0,), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.accepted) > 0 or self.problems, 30, "the first accepted order")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits for an answer"

    def flows(self, seconds: float = 30) -> None:
        """Wait until orders are accepted that are posted from now on."""
        goal = len(self.accepted) + 30
        wait_until(
            lambda: len(self.accepted) >= goal or self.problems, seconds, "thirty more orders"
        )

    def assert_unharmed(self) -> None:
        """Fail when any request failed, or when too few were made to tell."""
        assert self.problems == []
        assert set(self.answers) == {"POST 201", "GET 200"}
        assert len(self.accepted) > 30

    def _run(self, keep: bool) -> None:
        headers = {} if keep else {"Connection": "close"}
        while not self._stopping.is_set() and time.monotonic() < self._deadline:
            with self._lock:
                order_id = next(self._ids)
            if self._ask("POST", order_id, 201, headers):
                with self._lock:
                    self.accepted.append(order_id)
                self._ask("GET", order_id, 200, headers)
            time.sleep(self._pause)

    def _ask(self, method: str, order_id: int, expected: int, headers: dict[str, str]) -> bool:
        began = time.strftime("%H:%M:%S", time.gmtime())
        try:
            if method == "POST":
                answer = self._client.post(order_body(order_id), **headers)
            else:
                answer = self._client.get(f"/orders/{order_id}", **headers)
            outcome, body = str(answer.status), answer.data
        except urllib3.exceptions.HTTPError as error:
            outcome, body = type(error).__name__, str(error).encode()
        with self._lock:
            self.answers[f"{method} {outcome}"] += 1
            if outcome != str(expected):
                self.problems.append(f"{began} {method} {order_id}: {outcome} {body!r}")
        return outcome == str(expected)
