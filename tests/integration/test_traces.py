"""From a request through its queries, and from a refresh through its steps to theirs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from loaders.extract import extract_graph
from loaders.tracing import span
from recsvc.recommend.engine import Engine
from tests.conftest import Served
from tests.integration.conftest import QUICK
from tests.spans import collecting, told, traced_in_memory, tree

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
"""Of the refresh that `served` begins with."""


async def test_queries_are_below_the_request(
    engine_and_client: tuple[Engine, httpx.AsyncClient],
) -> None:
    _, client = engine_and_client
    with traced_in_memory() as spans:
        assert (await client.get("/v1/users/u1/recommendations?explain=full")).status_code == 200
        route = "GET /v1/users/{user_id}/recommendations"
        above = tree(spans)
        assert above.pop(route) is None
        assert above["serve/user_evidence"] == route
        assert set(above.values()) == {route}
        spans.clear()
        event = {"event_id": "traced", "user_id": "u1", "item_id": "i1", "event": "view"}
        written = await client.post("/v1/events", json={"events": [event]})
        assert written.status_code == 200, written.text
        assert tree(spans)["commit"] == "POST /v1/events"
        assert not [each for each in spans.get_finished_spans() if '"u1"' in told(each)]


def test_queries_of_batch_work_are_below_their_step(served: Served, tmp_path: Path) -> None:
    with traced_in_memory() as spans, span("extract"):
        extract_graph(served.gateway)
    above: dict[str, Any] = tree(spans)
    assert above.pop("extract", None) is None
    assert len(above) > 3
    assert set(above.values()) == {"extract"}


@pytest.mark.long
def test_a_refresh_is_one_trace_below_who_began_it(served: Served) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with collecting() as collector:
        subprocess.run(
            [sys.executable, "-m", "recsvc", "refresh", "--model", "fastrp", "--force"],
            timeout=600, check=True, capture_output=True,
            env={
                **served.environment, "TRACEPARENT": caller,
                "RECSVC_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            },
        )  # fmt: skip
    spans = {each.span_id: each for each in collector.spans}
    assert {each.trace_id.hex() for each in spans.values()} == {caller.split("-")[1]}
    (refresh,) = [each for each in spans.values() if each.name == "refresh"]
    assert refresh.parent_span_id.hex() == caller.split("-")[2]
    assert all(each is refresh or each.parent_span_id in spans for each in spans.values())
    steps = {each.name for each in spans.values() if each.parent_span_id == refresh.span_id}
    assert {"extract", "check meta-paths", "write vectors", "activate"} <= steps
    of_extract = [each.span_id for each in spans.values() if each.name == "extract"]
    assert [each for each in spans.values() if each.parent_span_id in of_extract]
