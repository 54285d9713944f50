import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from recsvc.service.app import create_app
from recsvc.service.refreshes import Refreshes
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine

PATH = "/v1/users/secret-user/recommendations"
ROUTE = "/v1/users/{user_id}/recommendations"


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize("given", ["abc", "a b", "~" * 128, "00-4bf92f-01"])
async def test_the_callers_request_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    for path in (PATH, "/nothing", "/health/live", PATH + "?k=0"):
        response = await client.get(path, headers={"X-Request-Id": given})
        assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"\xe9", b"a\tb", b" "])
async def test_another_request_id_is_made(client: httpx.AsyncClient, given: bytes) -> None:
    response = await client.get(PATH, headers=[(b"X-Request-Id", given)])
    made = response.headers["X-Request-Id"]
    assert len(made) == 32
    assert response.json()["request_id"] == made


async def test_each_request_has_its_own_id(client: httpx.AsyncClient) -> None:
    ids = [f"id-{n}" for n in range(20)]
    answers = await asyncio.gather(
        *(client.get(PATH, headers={"X-Request-Id": each}) for each in ids)
    )
    assert [answer.json()["request_id"] for answer in answers] == ids


async def test_500_has_a_request_id(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    fake.error = ValueError("secret")
    response = await client.get(PATH, headers={"X-Request-Id": "abc"})
    assert response.headers["X-Request-Id"] == response.json()["request_id"] == "abc"


async def test_requests_are_counted_by_route(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    await client.get(PATH)
    await client.get(PATH + "?k=0")
    await client.get("/secret-path")
    await client.request("BREW", PATH)
    fake.error = ValueError()
    await client.get(PATH)
    metrics = await samples(client)
    count = "recsvc_http_requests_total"
    assert metrics[f'{count}{{method="GET",route="{ROUTE}",status="200"}}'] == 1
    assert metrics[f'{count}{{method="GET",route="{ROUTE}",status="422"}}'] == 1
    assert metrics[f'{count}{{method="GET",route="{ROUTE}",status="500"}}'] == 1
    assert metrics[f'{count}{{method="other",route="{ROUTE}",status="405"}}'] == 1
    assert metrics[f'{count}{{method="GET",route="none",status="404"}}'] == 1
    seconds = "recsvc_http_request_duration_seconds_count"
    assert metrics[f'{seconds}{{method="GET",route="{ROUTE}"}}'] == 3
    assert not [name for name in metrics if "secret" in name or "BREW" in name]


async def test_degraded_answers_and_versions_are_counted(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    await client.get(PATH)
    fake.degraded, fake.versions = ("paths", "evidence"), {"hybrid": 4}
    await client.post("/v1/recommendations", json={"evidence": [{"item_id": "55"}]})
    await client.get("/v1/users/2/recommendations/289/explanation")
    await client.get("/v1/users/2/home")
    found = await samples(client)
    assert found['recsvc_degraded_answers_total{what="paths"}'] == 3
    assert found['recsvc_degraded_answers_total{what="evidence"}'] == 3
    versions = {name for name in found if name.startswith("recsvc_active_version{")}
    assert versions == {'recsvc_active_version{model="hybrid"}'}
    assert found['recsvc_active_version{model="hybrid"}'] == 4


async def test_two_apps_count_apart(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await client.get(PATH)
    app = create_app(FakeEngine().engine, refreshes=Refreshes(tmp_path), keys=key_ring(tmp_path))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://other") as other:
        assert not [name for name in await samples(other) if ROUTE in name]


def logged(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_the_log_is_json_without_ids(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.get(PATH, headers={"X-Request-Id": "abc"})
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = logged(captured.err)
    assert line.pop("duration_ms") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "route": ROUTE,
        "status": 200,
        "request_id": "abc",
    }


async def test_an_error_is_logged_with_its_request_and_no_variables(
    client: httpx.AsyncClient, fake: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.error = ValueError("what went wrong")
    await client.get(PATH, headers={"X-Request-Id": "abc"})
    error, request = logged(capsys.readouterr().err)
    assert "what went wrong" in error["exception"]
    assert "secret-user" not in json.dumps([error, request])
    assert error["request_id"] == request["request_id"] == "abc"
    assert request["status"] == 500


def test_a_configured_log_is_left_alone(tmp_path: Path) -> None:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    before = structlog.get_config()["processors"]
    create_app(FakeEngine().engine, refreshes=Refreshes(tmp_path), keys=key_ring(tmp_path))
    assert structlog.get_config()["processors"] is before
    structlog.reset_defaults()


class _Broken(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("half way")


async def test_an_error_after_the_answer_began_reaches_the_server(app: FastAPI) -> None:
    app.add_api_route("/broken", lambda: _Broken(), response_model=None)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        with pytest.raises(RuntimeError, match="half way"):
            await client.get("/broken")
