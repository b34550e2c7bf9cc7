"""Clients that post the same order at the same moment, through a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import urllib3

from tests.support.databases import order_body
from tests.support.inspection import Store
from tests.support.service_process import Server

CLIENTS = 8
ROUNDS = 100


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[Server]:
    with Server(tmp_path, url, WEB_CONCURRENCY=2, SIMULATE_MAX_MILLISECONDS=0) as server:
        yield server.start()


def race(server: Server, **headers: str) -> list[list[urllib3.BaseHTTPResponse]]:
    """Post each of 100 orders from all clients at once; return the answers by order."""
    barrier = Barrier(CLIENTS, timeout=30)

    def post_all(_client: int) -> list[urllib3.BaseHTTPResponse]:
        answers = []
        for order_id in range(1, ROUNDS + 1):
            barrier.wait()
            keys = {name: value.format(order_id) for name, value in headers.items()}
            answers.append(server.client.post(order_body(order_id), **keys))
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        by_client = list(pool.map(post_all, range(CLIENTS)))
    return [list(answers) for answers in zip(*by_client, strict=True)]


def test_the_same_order_at_once_is_accepted_exactly_once(server: Server, store: Store) -> None:
    for answers in race(server):
        assert Counter(answer.status for answer in answers) == {201: 1, 409: CLIENTS - 1}
    store.wait_finished(30)
    store.assert_all_completed_once(set(range(1, ROUNDS + 1)))


def test_the_same_key_at_once_is_answered_once_and_replayed_to_the_others(
    server: Server, store: Store
) -> None:
    for answers in race(server, **{"Idempotency-Key": "order {}"}):
        assert Counter(answer.status for answer in answers) == {201: CLIENTS}
        replayed = Counter(answer.headers.get("Idempotent-Replayed") for answer in answers)
        assert replayed == {None: 1, "true": CLIENTS - 1}
        assert len({answer.data for answer in answers}) == 1
    store.wait_finished(30)
    store.assert_all_completed_once(set(range(1, ROUNDS + 1)))
