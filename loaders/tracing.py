"""Spans of OpenTelemetry around what takes time: a request, a query, a refresh and its steps.

None is made until `trace_with` has a tracer. A span says only what the code itself names: the
template of a route, a query, a step, the class of an error. No id, parameter, key or message of an
error comes into one.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

TRACEPARENT: Final = "traceparent"
"""The header, and in capitals the variable, that names the span of a caller (W3C Trace Context)."""

_OFF: Final = nullcontext()
_tracer: "Tracer | None" = None


def trace_with(tracer: "Tracer | None") -> None:
    """Make spans with a tracer from now on; None: make none."""
    global _tracer
    _tracer = tracer


def tracing() -> bool:
    """Whether spans are made."""
    return _tracer is not None


def span(
    name: str, kind: Literal["INTERNAL", "SERVER"] = "INTERNAL", caller: str = ""
) -> AbstractContextManager["Span | None"]:
    """A span around the block, below the one around it; None where none is made.

    Args:
        name: of few different ones.
        kind: SERVER for what somebody else asked for.
        caller: the span of another process that it belongs below, as `traceparent` has it.
    """
    return _OFF if _tracer is None else _span(_tracer, name, kind, caller)


def query_span(name: str) -> AbstractContextManager["Span | None"]:
    """A span around what is asked of Neo4j, by the name of the query.

    None is made of what no request or refresh waits for, such as a probe or a sign of life.
    """
    if _tracer is None:
        return _OFF
    from opentelemetry.trace import get_current_span

    below = get_current_span().get_span_context().is_valid
    return _span(_tracer, name, "CLIENT") if below else _OFF


def traceparent() -> str:
    """The span around this, for another process; empty where there is none."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(TRACEPARENT, "")


@contextmanager
def _span(tracer: "Tracer", name: str, kind: str, caller: str = "") -> Generator["Span"]:
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = TraceContextTextMapPropagator().extract({TRACEPARENT: caller}) if caller else None
    of_neo4j = {"db.system.name": "neo4j", "db.query.summary": name} if kind == "CLIENT" else {}
    # The library would write the message of an error, which may hold an id.
    with tracer.start_as_current_span(
        name, above, SpanKind[kind], of_neo4j,
        record_exception=False, set_status_on_exception=False,
    ) as made:  # fmt: skip
        try:
            yield made
        except BaseException as error:
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(Status(StatusCode.ERROR))
            raise
