"""A request is a span, which says what the log says and nothing of whom it was about."""

from collections.abc import Iterator

import httpx
import opentelemetry.trace
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.spans import told, traced_in_memory
from tests.unit.service.fake_engine import FakeEngine

PATH = "/v1/users/secret-user/recommendations"
ROUTE = "/v1/users/{user_id}/recommendations"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with traced_in_memory() as exporter:
        yield exporter


async def test_a_request_is_a_span_below_its_caller_without_ids(
    client: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    await client.get(
        PATH, params={"k": 5, "without": "item:secret-item"},
        headers={"traceparent": CALLER, "Authorization": "Bearer secret-key",
                 "User-Agent": "secret-agent", "X-Request-Id": "secret-request"},
    )  # fmt: skip
    (made,) = spans.get_finished_spans()
    assert (made.name, made.kind) == (f"GET {ROUTE}", SpanKind.SERVER)
    assert made.parent is not None
    assert f"{made.parent.span_id:016x}" == "b7ad6b7169203331"
    assert f"{made.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert dict(made.attributes or {}) == {
        "http.request.method": "GET", "http.route": ROUTE, "http.response.status_code": 200
    }  # fmt: skip
    assert "secret" not in told(made)


async def test_errors_are_told_by_their_status(
    client: httpx.AsyncClient, spans: InMemorySpanExporter, fake: FakeEngine
) -> None:
    await client.get(PATH + "?k=secret")
    await client.request("SECRET", "/v1/secret-path")
    fake.error = ValueError("secret")
    await client.get(PATH)
    told_of = [
        (each.name, (each.attributes or {})["http.response.status_code"], each.status.status_code)
        for each in spans.get_finished_spans()
    ]
    assert told_of == [
        (f"GET {ROUTE}", 422, StatusCode.UNSET),
        ("other none", 404, StatusCode.UNSET),
        (f"GET {ROUTE}", 500, StatusCode.ERROR),
    ]
    assert not [each for each in spans.get_finished_spans() if "secret" in told(each).lower()]


@pytest.mark.parametrize("caller", [b"\xff\xff", b"00-0-0-01", b"x" * 4000, b""])
async def test_a_caller_that_cannot_be_read_is_none(
    client: httpx.AsyncClient, spans: InMemorySpanExporter, caller: bytes
) -> None:
    answer = await client.get(PATH, headers=[(b"traceparent", caller)])
    assert answer.status_code == 200
    (made,) = spans.get_finished_spans()
    assert made.parent is None


async def test_what_probes_and_browsers_ask_is_no_span(
    client: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/"):
        await client.get(path)
    assert spans.get_finished_spans() == ()


async def test_fastapi_makes_no_span_of_its_own(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would of every request, with its path and query, where the process has a provider."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", provider)
    await client.get(PATH)
    opentelemetry.trace.get_tracer("tests").start_span("it is used").end()
    assert [each.name for each in exporter.get_finished_spans()] == ["it is used"]


async def test_nothing_is_told_while_tracing_is_off(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH, headers={"traceparent": CALLER})).status_code == 200
