"""Spans around queries, steps and what waits; nothing of them while tracing is off."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from loaders.catalogue import catalogue
from loaders.errors import Neo4jTimeoutError
from loaders.extract._reading import side_by_side
from loaders.tracing import query_span, span, traceparent, tracing
from recsvc.errors import SettingsError
from recsvc.graph.circuit_breaker import CircuitBreaker
from recsvc.graph.group_commit import GroupCommit
from recsvc.refresh.run_journal import new_name, opened_run
from recsvc.refresh.run_manifest import RunIdentity
from recsvc.service.refreshes import _start
from recsvc.settings import load_settings
from recsvc.tracing import start_tracing, tracer_provider
from tests.spans import Collector, collecting, told, traced_in_memory, tree
from tests.waiting import PATIENCE_SECONDS

QUERY = catalogue()["serve/user_evidence"]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with traced_in_memory() as exporter:
        yield exporter


def breaker() -> CircuitBreaker:
    async def probe() -> None: ...

    return CircuitBreaker("bolt://example:7687", probe)


def test_nothing_is_made_while_tracing_is_off() -> None:
    assert not tracing()
    start_tracing(None)
    assert not tracing()
    assert tracer_provider(None) is None
    # One object for all: what is off costs no more than asking whether it is.
    assert span("a") is span("b", "SERVER", CALLER) is query_span("c")
    with span("a") as made:
        assert made is None
        assert traceparent() == ""


async def test_a_query_is_a_span_below_what_asks_for_it(spans: InMemorySpanExporter) -> None:
    with span("request", "SERVER"):
        async with breaker().deadline(QUERY, 600.0):
            await asyncio.sleep(0)
    query, request = spans.get_finished_spans()
    assert (query.name, query.kind) == ("serve/user_evidence", SpanKind.CLIENT)
    assert dict(query.attributes or {}) == {
        "db.system.name": "neo4j", "db.query.summary": "serve/user_evidence"
    }  # fmt: skip
    assert query.parent is not None
    assert query.parent.span_id == request.context.span_id
    assert query.status.status_code == StatusCode.UNSET


async def test_what_no_request_waits_for_has_no_span(spans: InMemorySpanExporter) -> None:
    async with breaker().deadline(QUERY, 600.0):
        await asyncio.sleep(0)
    assert spans.get_finished_spans() == ()


async def test_an_error_is_told_by_its_class_alone(spans: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), span("request"):
        raise KeyError("secret-user")
    with span("request"), pytest.raises(Neo4jTimeoutError):
        async with breaker().deadline(QUERY, 0.001):
            await asyncio.sleep(1)
    failed, late, _ = spans.get_finished_spans()
    assert (failed.attributes or {})["error.type"] == "KeyError"
    assert (late.attributes or {})["error.type"] == "CancelledError"
    for each in (failed, late):
        assert each.status.status_code == StatusCode.ERROR
        assert each.status.description is None
        assert not each.events
        assert "secret-user" not in told(each)


async def test_a_request_waits_for_its_commit_and_the_writer_belongs_to_none(
    spans: InMemorySpanExporter,
) -> None:
    below: list[bool] = []

    async def commit(requests: object) -> list[int]:
        below.append(get_current_span().get_span_context().is_valid)
        return [1]

    writes = GroupCommit(commit, timeout_seconds=600.0)
    with span("request"):
        await writes.submit("a")
    await writes.close()
    assert tree(spans) == {"commit": "request", "request": None}
    assert below == [False]


@pytest.mark.parametrize("sessions", [1, 2])
def test_queries_of_threads_are_below_who_asks(spans: InMemorySpanExporter, sessions: int) -> None:
    at_once = threading.Barrier(sessions)

    def read(name: str) -> str:
        with query_span(name):
            at_once.wait(PATIENCE_SECONDS)
            return name

    with span("extract"):
        assert list(side_by_side(read, ["a", "b"], sessions)) == ["a", "b"]
    assert tree(spans) == {"a": "extract", "b": "extract", "extract": None}


def test_the_steps_of_a_refresh_are_spans(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    with span("refresh"), opened_run(tmp_path, RunIdentity(), (), (), new_name()) as run:
        with run.step("extract"), query_span("extract/users"):
            pass
        with pytest.raises(ValueError, match="no"), run.step("weights"):
            raise ValueError("no")
    assert tree(spans) == {
        "refresh": None, "extract": "refresh", "extract/users": "extract", "weights": "refresh"
    }  # fmt: skip
    by_name = {each.name: each.status.status_code for each in spans.get_finished_spans()}
    assert by_name["extract"] == StatusCode.UNSET
    assert by_name["weights"] == StatusCode.ERROR


def test_a_process_that_is_started_knows_the_span_above(
    spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    write = ["sh", "-c", f'printf %s "$TRACEPARENT" > {tmp_path}/told']
    with span("request", "SERVER", CALLER) as made:
        assert _start(write).wait() == 0
    assert made is not None
    number = f"{made.get_span_context().span_id:016x}"
    assert (tmp_path / "told").read_text() == CALLER.replace("b7ad6b7169203331", number)
    assert _start(write).wait() == 0
    assert (tmp_path / "told").read_text() == os.environ.get("TRACEPARENT", "")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as server:
        yield server


WORK = """
import sys
from loaders.tracing import query_span
from recsvc import tracing
tracing._EXPORT_SECONDS = 300.0  # the machine may be busy
with tracing.traced("refresh", sys.argv[1]), query_span("extract/users"):
    pass
"""


def test_a_process_sends_its_spans_before_it_ends(collector: Collector) -> None:
    address = f"http://127.0.0.1:{collector.server_port}"
    done = subprocess.run(
        [sys.executable, "-c", WORK, address], timeout=600, check=True, capture_output=True,
        text=True, env={**os.environ, "TRACEPARENT": CALLER},
    )  # fmt: skip
    assert done.stderr == ""
    ((path, request),) = collector.taken
    assert path == "/v1/traces"
    (resource,) = request.resource_spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert about["service.name"] == "recsvc"
    (scope,) = resource.scope_spans
    query, refresh = scope.spans
    assert (query.name, refresh.name) == ("extract/users", "refresh")
    assert query.parent_span_id == refresh.span_id
    assert refresh.parent_span_id.hex() == "b7ad6b7169203331"
    assert refresh.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'recsvc\[otel\]', or unset it") as error:
        start_tracing("http://127.0.0.1:4318")
    assert "opentelemetry.exporter" in str(error.value)
    assert not tracing()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:4318", "https://otel.example.org", "http://[::1]:4318/otlp"]
)
def test_a_collector_is_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RECSVC_OTLP_ENDPOINT", address)
    assert load_settings().otlp_endpoint == address


@pytest.mark.parametrize(
    "address", ["127.0.0.1:4318", "grpc://collector:4317", "http://me:hunter2@collector",
                "http://collector/?key=hunter2"]
)  # fmt: skip
def test_another_address_of_a_collector_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RECSVC_OTLP_ENDPOINT", address)
    with pytest.raises(SettingsError, match=r"'otlp_endpoint'.*without a log-in") as error:
        load_settings()
    assert "hunter2" not in str(error.value)
