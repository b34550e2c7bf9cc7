"""Clients that post orders and remember each answer, as real ones would after a time-out."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Self

import urllib3

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import Client

LONGEST = 120.0
MOST_ORDERS = 20_000


class Load:
    """Threads that post one new order after the other until told to stop.

    An order without an answer, or with a 503, is posted again with the same idempotency key, so
    at the end every order is known to be accepted.
    """

    def __init__(self, client: Client, threads: int = 8, first_id: int = 1, pause: float = 0.0):
        self._client = client
        self._pause = pause
        self._stopping = threading.Event()
        self._deadline = time.monotonic() + LONGEST
        self._lock = threading.Lock()
        self._next_id = first_id
        self._last_id = first_id + MOST_ORDERS
        self.accepted: set[int] = set()
        self.statuses: Counter[int | str] = Counter()
        self.problems: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each thread end its order, and wait for it."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(LONGEST)
            assert not thread.is_alive(), "a client still waits for an answer"

    def wait_for_more(self, number: int, seconds: float = 30) -> None:
        """Wait until that many more orders are accepted."""
        goal = len(self.accepted) + number
        wait_until(lambda: len(self.accepted) >= goal, seconds, f"{number} more accepted orders")

    def _run(self) -> None:
        while not self._stopping.is_set() and time.monotonic() < self._deadline:
            with self._lock:
                order_id = self._next_id
                self._next_id += 1
            if order_id > self._last_id:
                return
            self._post_until_answered(order_id)
            time.sleep(self._pause)

    def _post_until_answered(self, order_id: int) -> None:
        while time.monotonic() < self._deadline:
            status = self._post(order_id)
            if status == 201:
                with self._lock:
                    self.accepted.add(order_id)
                return
            if status not in (503, "no answer"):
                with self._lock:
                    self.problems.append(f"order {order_id} was answered with {status}")
                return
            time.sleep(0.05)

    def _post(self, order_id: int) -> int | str:
        status: int | str
        try:
            answer = self._client.post(
                order_body(order_id), **{"Idempotency-Key": f"load-{order_id}"}
            )
            status = answer.status
            if answer.headers["Content-Type"] != "application/json":
                self.problems.append(f"order {order_id} was answered with {answer.data!r}")
            if status == 503 and "Retry-After" not in answer.headers:
                self.problems.append(f"order {order_id} got 503 without Retry-After")
        except urllib3.exceptions.HTTPError:
            status = "no answer"
        with self._lock:
            self.statuses[status] += 1
        return status
