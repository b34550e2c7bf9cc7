"""Clients that post the same order at the same moment, through a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import urllib3

from tests.support.databases import order_body
from tests.support.inspection import Store
from tests.support.service_process import Server

CLIENTS = 8
ORDERS = 40
SECONDS = 60


def race(
    server: Server, order_ids: Sequence[int], **headers: str
) -> Iterator[list[urllib3.BaseHTTPResponse]]:
    """Post each order from all clients at once; give the answers, order by order."""
    barrier = Barrier(CLIENTS, timeout=SECONDS)

    def post_all(_client: int) -> list[urllib3.BaseHTTPResponse]:
        answers = []
        for order_id in order_ids:
            barrier.wait()
            keys = {name: value.format(order_id) for name, value in headers.items()}
            answers.append(server.client.post(order_body(order_id), **keys))
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        by_client = list(pool.map(post_all, range(CLIENTS)))
    for answers in zip(*by_client, strict=True):
        yield list(answers)


def test_one_is_accepted_and_the_others_hear_of_it(tmp_path: Path, url: str, store: Store) -> None:
    plain, keyed = range(1, ORDERS + 1), range(ORDERS + 1, 2 * ORDERS + 1)
    with Server(tmp_path, url, WEB_CONCURRENCY=2, SIMULATE_MAX_MILLISECONDS=0) as server:
        server.start()
        for answers in race(server, plain):
            assert Counter(answer.status for answer in answers) == {201: 1, 409: CLIENTS - 1}
        for answers in race(server, keyed, **{"Idempotency-Key": "order {}"}):
            assert Counter(answer.status for answer in answers) == {201: CLIENTS}
            replayed = Counter(answer.headers.get("Idempotent-Replayed") for answer in answers)
            assert replayed == {None: 1, "true": CLIENTS - 1}
            assert len({answer.data for answer in answers}) == 1
        store.wait_finished(SECONDS)
    store.assert_all_completed_once({*plain, *keyed})
