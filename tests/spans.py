"""Spans as they were made, for tests that look at them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from loaders.tracing import trace_with


@contextmanager
def traced_in_memory() -> Iterator[InMemorySpanExporter]:
    """Keeps the spans that end in the block."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_with(provider.get_tracer("tests"))
    try:
        yield exporter
    finally:
        trace_with(None)
        provider.shutdown()


def tree(exporter: InMemorySpanExporter) -> dict[str, str | None]:
    """The name of the span above each; None where it is not one of these."""
    made = exporter.get_finished_spans()
    names = {each.context.span_id: each.name for each in made}
    return {each.name: names.get(each.parent.span_id) if each.parent else None for each in made}


def told(span: ReadableSpan) -> str:
    """All that a span says, as text."""
    return span.to_json()


class Collector(HTTPServer):
    """Takes OTLP over HTTP on loopback."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[tuple[str, ExportTraceServiceRequest]] = []

    @property
    def spans(self) -> list[Span]:
        """Those of all requests so far."""
        return [
            span
            for _, request in self.taken
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.taken.append((self.path, request))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_given: object) -> None:
        """Says nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs in the block."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
