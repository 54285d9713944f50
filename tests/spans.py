"""Spans as they were made, for tests that look at them."""

from collections.abc import Iterator
from contextlib import contextmanager

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
