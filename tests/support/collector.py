"""A collector of spans: a real HTTP server, which takes OTLP and keeps what it got."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.answering_server import LocalServer
from tests.support.polling import wait_until
from tests.support.ports import HOST

SECONDS = 15.0


@dataclass(frozen=True)
class CollectedSpan:
    """A span: ids in hexadecimal digits, `parent` "" without one, times in nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    kind: str
    # Trace id and span id of each.
    links: frozenset[tuple[str, str]]
    attributes: dict[str, Any] = field(hash=False)
    resource: dict[str, Any] = field(hash=False)
    failed: bool
    began: int
    ended: int

    @property
    def key(self) -> tuple[str, str]:
        """What a link to it holds."""
        return self.trace_id, self.span_id

    @property
    def traceparent(self) -> str:
        """What it sends to other services."""
        return f"00-{self.trace_id}-{self.span_id}-01"


class Collector:
    """A collector on a port of its own, which answers with `status`; with None it never does."""

    def __init__(self, status: int | None = 200) -> None:
        self.spans: list[CollectedSpan] = []
        self.calls = 0
        self._ended = threading.Event()
        self._status = status
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                collector.take(self)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = LocalServer((HOST, 0), Handler)

    @property
    def url(self) -> str:
        """Where spans are to be sent."""
        return f"http://{HOST}:{self._server.server_address[1]}/v1/traces"

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Take a call of an exporter."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.calls += 1
        if self._status is None:
            self._ended.wait()
            request.close_connection = True
            return
        if self._status == 200:
            assert request.path == "/v1/traces"
            self.spans += _decode(body)
        request.send_response(self._status)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def named(self, name: str, **attributes: object) -> list[CollectedSpan]:
        """Return the spans of this name, with these attributes: `order_id=1` is `order.id`."""
        wanted = {key.replace("_", "."): value for key, value in attributes.items()}
        return [
            span
            for span in list(self.spans)
            if span.name == name and wanted.items() <= span.attributes.items()
        ]

    def wait_for(self, name: str, count: int = 1, **attributes: object) -> list[CollectedSpan]:
        """Return so many spans, once they are here."""
        wait_until(
            lambda: len(self.named(name, **attributes)) >= count,
            SECONDS,
            f"{count} spans {name} {attributes}, beside {[span.name for span in self.spans]}",
        )
        return self.named(name, **attributes)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


def _decode(body: bytes) -> list[CollectedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _collected(span, _values(group.resource.attributes))
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _collected(span: Span, resource: dict[str, Any]) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        links=frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes=_values(span.attributes),
        resource=resource,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
