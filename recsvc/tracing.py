"""Spans on their way to a collector, where the settings name one."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from loaders.tracing import TRACEPARENT, span, trace_with
from recsvc.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_EXPORT_SECONDS = 5.0
"""How long sending a batch may take, tries to do it again included."""


def tracer_provider(endpoint: str | None) -> "TracerProvider | None":
    """What sends spans to a collector, as OTLP over HTTP; None where no collector is named.

    It sends them in the background, and what is left when the process ends.

    Args:
        endpoint: address of the collector, such as `http://127.0.0.1:4318`.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"otlp_endpoint is {endpoint!r} and {error.name} is missing: "
            "pip install 'recsvc[otel]', or unset it"
        ) from None
    resource = Resource.create({"service.name": "recsvc", "service.version": version("recsvc")})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def start_tracing(endpoint: str | None) -> None:
    """Send the spans of this process to a collector from now on, see `tracer_provider`.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    provider = tracer_provider(endpoint)
    if provider is not None:
        trace_with(provider.get_tracer("recsvc"))


@contextmanager
def traced(name: str, endpoint: str | None) -> Generator[None]:
    """A span around the work of a process, below the one of the process that started it.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    start_tracing(endpoint)
    with span(name, caller=os.environ.get(TRACEPARENT.upper(), "")):
        yield
