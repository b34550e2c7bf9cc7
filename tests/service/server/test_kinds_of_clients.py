"""Clients that send their requests in different ways, all at the same time: each is answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import urllib3

from tests.support.databases import order_body
from tests.support.inspection import open_store
from tests.support.ports import HOST
from tests.support.raw_http import LONGEST_WAIT, RawConnection, get, post
from tests.support.service_process import AUTHORIZATION, Server

READING_CONNECTIONS = 16
PIPELINED = 10
JSON = AUTHORIZATION | {"Content-Type": "application/json"}
# Posts the orders of these ids, and returns the statuses of the answers.
Kind = Callable[[int, Sequence[int]], list[int]]


def whole(port: int, ids: Sequence[int]) -> list[int]:
    """Head and body in one piece, and one connection for all."""
    statuses = []
    with RawConnection(port) as connection:
        for order_id in ids:
            connection.send(post(order_body(order_id)))
            statuses.append(connection.answer().status)
    return statuses


def whole_and_closed(port: int, ids: Sequence[int]) -> list[int]:
    """Head and body in one piece, and a connection for each."""
    close = b"Connection: close\r\n"
    return [post_and_see_it_closed(port, post(order_body(one), fields=close)) for one in ids]


def of_http_1_0(port: int, ids: Sequence[int]) -> list[int]:
    """HTTP/1.0, where a connection is for one request."""
    return [post_and_see_it_closed(port, post(order_body(one), version="1.0")) for one in ids]


def post_and_see_it_closed(port: int, request: bytes) -> int:
    with RawConnection(port) as connection:
        connection.send(request)
        status = connection.answer().status
        assert connection.is_closed()
        return status


def in_two_parts(port: int, ids: Sequence[int]) -> list[int]:
    """Python's own client, which sends the head and then the body."""
    with closing(python_client(port)) as client:
        return [post_by(client, one) for one in ids]


def in_two_parts_and_closed(port: int, ids: Sequence[int]) -> list[int]:
    """The same with a connection for each."""
    statuses = []
    for one in ids:
        with closing(python_client(port)) as client:
            statuses.append(post_by(client, one, {"Connection": "close"}))
    return statuses


def late_bodies(port: int, ids: Sequence[int]) -> list[int]:
    """The body comes a moment after the head, as on any network."""
    return post_with_late_bodies(port, ids, lambda _: b"")


def late_bodies_with_keys(port: int, ids: Sequence[int]) -> list[int]:
    """The same with idempotency keys, whose orders are stored apart from the others."""
    return post_with_late_bodies(port, ids, lambda one: b"Idempotency-Key: key %d\r\n" % one)


def post_with_late_bodies(
    port: int, ids: Sequence[int], fields_of: Callable[[int], bytes]
) -> list[int]:
    statuses = []
    with RawConnection(port) as connection:
        for one in ids:
            head, end_of_head, body = post(order_body(one), fields=fields_of(one)).partition(
                b"\r\n\r\n"
            )
            connection.send(head + end_of_head)
            time.sleep(one % 5 * 0.0005)
            connection.send(body)
            statuses.append(connection.answer().status)
    return statuses


def python_client(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(HOST, port, timeout=LONGEST_WAIT)


def post_by(
    client: http.client.HTTPConnection, order_id: int, fields: dict[str, str] | None = None
) -> int:
    body = json.dumps(order_body(order_id))
    client.request("POST", "/orders", body, JSON | (fields or {}))
    with client.getresponse() as answer:
        answer.read()
        return answer.status


def by_urllib3(port: int, ids: Sequence[int]) -> list[int]:
    """The client under `requests`."""
    with urllib3.HTTPConnectionPool(HOST, port, retries=False, timeout=LONGEST_WAIT) as pool:
        answers = [
            pool.request("POST", "/orders", json=order_body(one), headers=AUTHORIZATION)
            for one in ids
        ]
    return [answer.status for answer in answers]


def pipelined(port: int, ids: Sequence[int]) -> list[int]:
    """Several requests in one piece."""
    return pipeline(port, ids, lambda data: [data])


def pipelined_in_pieces(port: int, ids: Sequence[int]) -> list[int]:
    """Several requests, cut where no request ends."""
    return pipeline(port, ids, lambda data: [data[n : n + 333] for n in range(0, len(data), 333)])


def pipeline(port: int, ids: Sequence[int], cut: Callable[[bytes], Sequence[bytes]]) -> list[int]:
    statuses = []
    with RawConnection(port) as connection:
        for start in range(0, len(ids), PIPELINED):
            some = ids[start : start + PIPELINED]
            connection.send(*cut(b"".join(post(order_body(one)) for one in some)))
            statuses += [connection.answer().status for _ in some]
    return statuses


KINDS: list[Kind] = [
    whole,
    whole_and_closed,
    of_http_1_0,
    in_two_parts,
    in_two_parts_and_closed,
    late_bodies,
    late_bodies_with_keys,
    by_urllib3,
    pipelined,
    pipelined_in_pieces,
]


def read(port: int, ended: threading.Event) -> Counter[int]:
    """Look an order up on many connections at once, until the others have ended."""
    statuses: Counter[int] = Counter()
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(port)) for _ in range(READING_CONNECTIONS)]
        while not ended.is_set():
            for connection in connections:
                connection.send(get("/orders/1"))
            statuses.update(connection.answer().status for connection in connections)
    return statuses


def assert_each_is_answered(url: str, directory: Path, kinds: Sequence[Kind], each: int) -> None:
    """Post so many orders by each kind of client, while one reads; see that each is stored."""
    ended = threading.Event()
    ids = range(1, len(kinds) * each + 1)
    with (
        Server(directory, url, PROCESSOR_THREADS=0) as server,
        ThreadPoolExecutor() as clients,
        open_store(url) as store,
    ):
        server.start()
        reader = clients.submit(read, server.port, ended)
        posters = {
            kind.__name__: clients.submit(kind, server.port, ids[number :: len(kinds)])
            for number, kind in enumerate(kinds)
        }
        problems = {name: poster.exception() for name, poster in posters.items()}
        ended.set()
        assert set(problems.values()) == {None}, problems
        answers = {name: Counter(poster.result()) for name, poster in posters.items()}
        assert answers == {name: {201: each} for name in posters}
        assert set(reader.result()) <= {200, 404}
        assert set(store.statuses()) == set(ids)
        assert "Traceback" not in server.log


def test_all_kinds_at_the_same_time(tmp_path: Path, url: str) -> None:
    assert_each_is_answered(url, tmp_path, KINDS, 40)


def test_bodies_that_come_late_while_others_read(tmp_path: Path, sqlite_url: str) -> None:
    """Nobody else's request is in a batch with theirs, or sends it along."""
    assert_each_is_answered(sqlite_url, tmp_path, [late_bodies, late_bodies_with_keys], 100)
