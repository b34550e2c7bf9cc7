"""Spans of traces, which a collector gets by OTLP over HTTP. Imported where the settings name one.

A request and an attempt are spans of the order's trace. A group commit and a claim, which are about
many orders, are traces of their own, linked with those of the orders, in both directions.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from service.telemetry import tracing
from service.telemetry.tracing import Call

SERVICE = "order-service"
# Spans that wait to be sent; more are dropped. And how many are sent at once.
LONGEST_QUEUE, LARGEST_BATCH = 2048, 512
# In milliseconds: how long an ended span waits for others.
DELAY = 1000
# In seconds: for an answer of the collector, and for the last spans when the process ends.
EXPORT_SECONDS, FLUSH_SECONDS = 2.0, 2.0
SERVER_ERRORS, ERRORS = 500, 400


class Spans:
    """Makes this process's spans, and sends them from a thread of its own."""

    def __init__(self, url: str, release: str) -> None:
        instance = f"{socket.gethostname()}:{os.getpid()}"
        resource = Resource.create(
            {
                "service.name": SERVICE,
                "service.version": release,
                "service.instance.id": instance,
            }
        )
        exporter = OTLPSpanExporter(
            url, timeout=EXPORT_SECONDS, compression=Compression.NoCompression
        )
        self._sender = BatchSpanProcessor(exporter, LONGEST_QUEUE, DELAY, LARGEST_BATCH)
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        # Batches are recorded if an order of theirs is, whatever the share of traces that are.
        batches = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        for one in (provider, batches):
            one.add_span_processor(self._sender)
        # What a handler records by itself is sent as well.
        trace.set_tracer_provider(provider)
        self._tracer = provider.get_tracer(SERVICE, release)
        self._batches = batches.get_tracer(SERVICE, release)
        # The requests that are under way, by their `traceparent`.
        self._requests = WeakValueDictionary[str, RequestSpan]()

    def stop(self) -> None:
        """Send what has ended, for at most `FLUSH_SECONDS`."""
        # In a thread, since the library would wait for half a minute.
        flush = threading.Thread(target=self._sender.shutdown, name="last-spans", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)

    def begin_request(self, parent: str | None, request_id: str | None) -> RequestSpan:
        """Begin the span of a request, and make it the trace at hand."""
        span = self._tracer.start_span(
            "HTTP",
            _inside(parent),
            SpanKind.SERVER,
            attributes={"request.id": request_id or ""},
        )
        request = self._requests[format_traceparent(span.get_span_context())] = RequestSpan(span)
        tracing.current.set(request.traceparent)
        return request

    @contextmanager
    def group_commit(self, traceparents: Iterable[str | None]) -> Iterator[None]:
        """Time the commit of new orders, of which these are the traces."""
        links = _links(traceparents)
        if not links:
            yield
            return
        span = self._begin_batch("store orders", links, time.time_ns())
        for link in links:
            request = self._requests.get(format_traceparent(link.context))
            if request is not None:
                request.span.add_link(span.get_span_context())
        with _timed(span):
            yield

    def claim(self, traceparents: Iterable[str | None], began: int) -> str | None:
        """Note a claim of orders, of which these are the traces, and return its `traceparent`.

        It began at that Unix time, in nanoseconds, and ends now.
        """
        links = _links(traceparents)
        if not links:
            return None
        span = self._begin_batch("claim orders", links, began)
        span.end()
        return format_traceparent(span.get_span_context())

    @contextmanager
    def attempt(
        self, parent: str | None, claimed_in: str | None, order_id: int, number: int
    ) -> Iterator[AttemptSpan]:
        """Time an attempt, which is the trace at hand meanwhile."""
        with self._tracer.start_as_current_span(
            "process order",
            _inside(parent),
            SpanKind.CONSUMER,
            {"order.id": order_id, "order.attempt": number},
            _links([claimed_in]),
        ) as span:
            attempt = AttemptSpan(span)
            with tracing.within(attempt.traceparent):
                yield attempt

    @contextmanager
    def call(self, name: str, call: Call) -> Iterator[None]:
        """Time a call, and have it send a `traceparent` of its own."""
        span = self._tracer.start_span(name, _inside(call.traceparent), SpanKind.CLIENT)
        call.traceparent = format_traceparent(span.get_span_context())
        with _timed(span):
            yield
            if call.status is not None:
                span.set_attribute("http.response.status_code", call.status)
            if call.status is None or call.status >= ERRORS:
                span.set_status(StatusCode.ERROR)

    def _begin_batch(self, name: str, links: list[Link], began: int) -> Span:
        return self._batches.start_span(
            name, Context(), attributes={"orders": len(links)}, links=links, start_time=began
        )


class RequestSpan:
    """The span of a request."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.traceparent = format_traceparent(span.get_span_context())

    def end(self, method: str, route: str | None, status: int, order_id: int | None) -> None:
        """Say how the request was answered.

        Without a route its method may be anything, and the span does not say it.
        """
        span = self.span
        if route is not None:
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.request.method": method, "http.route": route})
        span.set_attribute("http.response.status_code", status)
        if order_id is not None:
            span.set_attribute("order.id", order_id)
        if status >= SERVER_ERRORS:
            span.set_status(StatusCode.ERROR)
        span.end()


class AttemptSpan:
    """The span of an attempt."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = format_traceparent(span.get_span_context())

    def note_result(self, result: str, *, succeeded: bool) -> None:
        """Say how it ended."""
        self._span.set_attribute("order.result", result)
        if not succeeded:
            self._span.set_status(StatusCode.ERROR)


def format_traceparent(context: SpanContext) -> str:
    """Return the `traceparent` that leads to a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _parse(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


def _inside(parent: str | None) -> Context:
    """Return the context of a span's children; without one, that of a new trace."""
    if parent is None:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(_parse(parent)), Context())


def _links(traceparents: Iterable[str | None]) -> list[Link]:
    """Return links to those of the spans that are recorded."""
    contexts = [_parse(one) for one in traceparents if one is not None]
    return [Link(context) for context in contexts if context.trace_flags.sampled]


@contextmanager
def _timed(span: Span) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # Its type only: its text may hold what an order says.
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()
