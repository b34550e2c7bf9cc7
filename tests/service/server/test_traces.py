"""Traces through real processes: from a client, through the service, to a receiver; and spans."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.support.collector import Collector
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.hook_receiver import HookReceiver, open_receiver, reply
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.service_process import Server, Worker

pytestmark = pytest.mark.slow

SECONDS = 20.0
CLIENT_SPAN, TRACE_ID = f"{0xAB:016x}", f"{0xCD:032x}"
TRACE = f"00-{TRACE_ID}-{CLIENT_SPAN}-01"
REFUSED = "Failed to export span"
# Seconds: two for the last spans, and what a stop takes anyway on a busy machine.
LONGEST_STOP = 4.0
# What spans may say: of orders, their ids.
SAID = {
    *("request.id", "http.request.method", "http.route", "http.response.status_code"),
    *("orders", "order.id", "order.attempt", "order.result", "error.type"),
}


def webhook(receiver: HookReceiver) -> dict[str, str]:
    return {"ORDER_HANDLER": "webhook", "WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": "secret"}


def test_a_trace_reaches_the_receiver_as_it_came(url: str, store: Store, tmp_path: Path) -> None:
    store.add_orders([3])
    with open_receiver() as receiver, Server(tmp_path, url, **webhook(receiver)) as server:
        server.start()
        assert server.client.post(order_body(1), traceparent=TRACE).status == 201
        assert server.client.post(order_body(2)).status == 201
        store.wait_finished(SECONDS)
        sent = {
            call.headers["Idempotency-Key"]: call.headers["traceparent"] for call in receiver.calls
        }
        assert sent == {"order-1": TRACE, "order-2": None, "order-3": None}
        [line] = [line for line in server.log.splitlines() if "trace_id=" in line]
        assert f"trace_id={TRACE_ID} order_id=1 " in line


@ONLY_SQLITE
@pytest.mark.parametrize("traced", [False, True])
def test_nothing_is_loaded_without_a_collector(
    url: str, store: Store, tmp_path: Path, traced: bool
) -> None:
    collector = f"http://127.0.0.1:{free_port()}/" if traced else ""
    handler = "tests.support.order_handlers:tell_tracing"
    with Server(tmp_path, url, ORDER_HANDLER=handler, TRACES_URL=collector) as server:
        server.start()
        assert server.client.post(order_body(1), traceparent=TRACE).status == 201
        store.wait_finished(SECONDS)
    assert store.order(1).last_error == f"OrderRejected: loaded: {traced}"


@ONLY_SQLITE
def test_one_trace_leads_from_the_client_to_the_receiver(
    url: str, store: Store, tmp_path: Path
) -> None:
    """From one process to another, in two attempts; and nothing is lost when they stop."""
    with ExitStack() as stack:
        collector = stack.enter_context(Collector())
        receiver = stack.enter_context(open_receiver())
        receiver.answer = reply(500)
        traces = {"TRACES_URL": collector.url}
        web = stack.enter_context(Server(tmp_path, url, PROCESSOR_THREADS=0, **traces)).start()
        delays = {"PROCESSOR_RETRY_DELAYS": "1s"}
        worker = Worker(tmp_path, url, **webhook(receiver), **traces, **delays)
        stack.enter_context(worker).start()
        assert web.client.post(order_body(1), traceparent=TRACE).status == 201
        wait_until(lambda: receiver.calls, SECONDS, "the first call")
        receiver.answer = reply(200)
        store.wait_finished(SECONDS)
        assert worker.stop() == 0
        assert web.client.post(order_body(2)).status == 201
        web.client.close()
        assert web.stop() == 0

    [request] = collector.named("POST /orders", order_id=1)
    [last] = collector.named("POST /orders", order_id=2)
    [commit, last_commit] = collector.named("store orders")
    claims = collector.named("claim orders")
    attempts = collector.named("process order", order_id=1)
    calls = collector.named("POST webhook")
    assert (request.trace_id, request.parent, request.kind) == (TRACE_ID, CLIENT_SPAN, "SERVER")
    assert (request.links, commit.links) == (frozenset([commit.key]), frozenset([request.key]))
    assert (last.links, last.parent) == (frozenset([last_commit.key]), "")
    assert [claim.links for claim in claims] == [{request.key}] * 2
    assert [attempt.links for attempt in attempts] == [{claim.key} for claim in claims]
    assert {(one.trace_id, one.parent) for one in attempts} == {(TRACE_ID, request.span_id)}
    assert [(one.attributes["order.result"], one.failed) for one in attempts] == [
        ("failed", True),
        ("completed", False),
    ]
    assert [(one.trace_id, one.parent) for one in calls] == [one.key for one in attempts]
    assert [one.attributes["http.response.status_code"] for one in calls] == [500, 200]
    assert [call.headers["traceparent"] for call in receiver.calls] == [
        one.traceparent for one in calls
    ]
    assert request.began <= commit.began <= commit.ended <= request.ended <= attempts[1].began
    assert {span.resource["service.name"] for span in collector.spans} == {"order-service"}
    assert len({span.resource["service.instance.id"] for span in (request, *attempts)}) == 2
    assert {name for span in collector.spans for name in span.attributes} <= SAID


@ONLY_SQLITE
def test_a_group_commit_is_linked_with_all_its_requests(
    url: str, store: Store, tmp_path: Path
) -> None:
    """In each of two processes."""
    orders = range(1, 41)
    with (
        Collector() as collector,
        Server(tmp_path, url, WEB_CONCURRENCY=2, TRACES_URL=collector.url) as server,
    ):
        server.start()
        wait_until(lambda: server.log.count("processor started") == 2, SECONDS, "both processes")
        with ThreadPoolExecutor(len(orders)) as threads:
            answers = threads.map(lambda one: server.client.post(order_body(one)), orders)
            assert {answer.status for answer in answers} == {201}
        store.wait_finished(SECONDS)
        server.client.close()
        server.stop()
    requests = {span.key: span for span in collector.named("POST /orders")}
    commits = {span.key: span for span in collector.named("store orders")}
    assert len(requests) == len(orders)
    assert len({span.resource["service.instance.id"] for span in requests.values()}) == 2
    linked = [(one, key) for key, commit in commits.items() for one in commit.links]
    assert sorted(linked) == sorted((key, *span.links) for key, span in requests.items())
    # Each order goes on in the trace of its own request.
    attempts = collector.named("process order")
    assert sorted((one.trace_id, one.parent) for one in attempts) == sorted(requests)


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("sampler", "recorded"),
    [({}, {1, 3}), ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {1})],
    ids=["all", "none"],
)
def test_the_caller_decides_what_is_recorded_and_else_the_sampler(
    url: str, store: Store, tmp_path: Path, sampler: dict[str, str], recorded: set[int]
) -> None:
    handler = "tests.support.order_handlers:record_span"
    with (
        Collector() as collector,
        Server(tmp_path, url, TRACES_URL=collector.url, ORDER_HANDLER=handler, **sampler) as server,
    ):
        server.start()
        for number, headers in (
            (1, {"traceparent": TRACE}),
            (2, {"traceparent": f"{TRACE[:-1]}0"}),
            (3, {}),
        ):
            assert server.client.post(order_body(number), **headers).status == 201
            store.wait_finished(SECONDS)
        server.client.close()
        server.stop()
    for name in ("POST /orders", "process order"):
        assert {span.attributes["order.id"] for span in collector.named(name)} == recorded
    for name in ("store orders", "claim orders"):
        assert len(collector.named(name)) == len(recorded)
    attempts = collector.named("process order")
    assert {(one.trace_id, one.parent) for one in collector.named("ship")} == {
        one.key for one in attempts
    }


@ONLY_SQLITE
@pytest.mark.parametrize("status", [None, 404])
def test_a_collector_that_takes_nothing_costs_nothing_but_spans(
    url: str, store: Store, tmp_path: Path, status: int | None
) -> None:
    numbers = count(1)
    quick = {"SIMULATE_MAX_MILLISECONDS": 0}
    with (
        Collector(status) as collector,
        Server(tmp_path, url, TRACES_URL=collector.url, **quick) as server,
    ):
        server.start()

        def refused_twice() -> bool:
            answer = server.client.post(order_body(next(numbers)))
            assert answer.status == 201
            return collector.calls >= 2 and REFUSED in server.log

        wait_until(refused_twice, SECONDS, "two calls, and a line in the log")
        store.wait_finished(SECONDS)
        server.client.close()
        told = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - told < LONGEST_STOP
        assert server.log.count(REFUSED) == 1
        assert "Traceback" not in server.log
    assert store.statistics().completed == next(numbers) - 1
