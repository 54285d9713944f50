"""`/v1/refreshes`, with processes that only say that they refresh."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest
import structlog
from pydantic import ValidationError

from loaders.errors import Neo4jUnavailableError
from recsvc.graph.rows import ActiveVersion
from recsvc.models import MODELS
from recsvc.refresh.process import refresh_command
from recsvc.service import refreshes as refreshes_of_service
from recsvc.service.app import create_app
from recsvc.service.refresh_schemas import (
    BegunRefreshDocument,
    RefreshDocument,
    RefreshesDocument,
    RefreshRequest,
)
from recsvc.service.refreshes import Refreshes
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import (
    HOLDER,
    RUN,
    fake_command,
    fake_refreshes,
    write_manifest,
)
from tests.unit.service.test_http_observability import samples
from tests.unit.service.test_http_problems import checked
from tests.waiting import until_then


async def test_those_that_are_known_are_listed_newest_first(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    later = "20251122T030000.000000Z-9f2c02"
    write_manifest(tmp_path, run=later, state="failed", error="why")
    answer = (await client.get("/v1/refreshes")).json()
    RefreshesDocument.model_validate(answer)
    assert [each["id"] for each in answer["refreshes"]] == [later, RUN]
    assert answer["refreshes"][1] == (await client.get(f"/v1/refreshes/{RUN}")).json()


@asynccontextmanager
async def asking(
    fake: FakeEngine, refreshes: Refreshes, home: Path
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(
        app=create_app(fake.engine, refreshes=refreshes, keys=key_ring(home))
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client
    structlog.reset_defaults()


async def test_a_refresh_begins_and_its_address_tells_of_it(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/refreshes")
    assert response.status_code == 202
    BegunRefreshDocument.model_validate(response.json())
    assert response.json() == {"id": RUN, "state": "unfinished"}
    assert response.headers["Location"] == f"/v1/refreshes/{RUN}"
    told = await client.get(response.headers["Location"])
    assert told.status_code == 200
    RefreshDocument.model_validate(told.json())
    assert told.json()["steps"][0]["memory_bytes"] == 734003200
    assert told.json()["versions"] == {"hybrid": 3, "lightgcn": 3}


async def test_what_the_gate_said_is_told(client: httpx.AsyncClient, tmp_path: Path) -> None:
    change = {"mean": -0.04, "low": -0.05, "high": -0.03}
    said = {
        "change": change,
        "objections": ["it is worse"],
        "overridden": ["it is worse"],
        "start": "why",
    }
    write_manifest(tmp_path, **said)
    document = (await client.get(f"/v1/refreshes/{RUN}")).json()
    RefreshDocument.model_validate(document)
    assert {name: document[name] for name in said} == said
    write_manifest(tmp_path, **dict.fromkeys(said))
    document = (await client.get(f"/v1/refreshes/{RUN}")).json()
    assert {document[name] for name in said} == {None}


async def test_the_page_of_a_run_is_shown_and_may_do_nothing(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    address = f"/v1/refreshes/{RUN}/report"
    assert (await client.get(f"/v1/refreshes/{RUN}")).json()["report"] == address
    response = await client.get(address)
    assert response.status_code == 200
    assert f"<h1>Refresh {RUN}</h1>" in response.text
    assert "λ by signal" in response.text
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [each for each in policy if "script" in each or "http" in each]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    for name in ("nonsense", "..%2Frefreshes%2F" + RUN, "%2E%2E", RUN[:-1] + "2"):
        checked(await client.get(f"/v1/refreshes/{name}/report"), 404)
    write_manifest(tmp_path, state="unfinished")
    checked(await client.get(address), 404)
    assert (await client.get(f"/v1/refreshes/{RUN}")).json()["report"] is None


async def test_more_pages_than_can_be_made_are_refused_at_once(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = ["sh", "-c", 'until [ -e "$0" ]; do sleep 0.01; done', str(tmp_path / "go on")]
    monkeypatch.setattr(refreshes_of_service, "page_command", lambda *_: waits)
    address = f"/v1/refreshes/{RUN}/report"
    asked = [asyncio.create_task(client.get(address)) for _ in range(12)]
    await until_then(lambda: sum(each.done() for each in asked) >= 4)
    (tmp_path / "go on").touch()
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [503] * 4
    assert (await client.get(address)).status_code == 200


async def test_a_page_that_cannot_be_made_is_no_fault_of_who_asks(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshes_of_service, "page_command", lambda *_: ["false"])
    checked(await client.get(f"/v1/refreshes/{RUN}/report"), 503)


async def test_what_is_asked_for_reaches_the_command(fake: FakeEngine, tmp_path: Path) -> None:
    asked: list[Any] = []
    write_manifest(tmp_path)

    def command(models: Any, *, force: bool, from_scratch: bool, run: str) -> list[str]:
        asked.append((list(models), force, from_scratch))
        return fake_command(tmp_path, run)

    async with asking(fake, Refreshes(tmp_path, command), tmp_path) as client:
        body = {"models": ["ridge", "lightgcn"], "force": True}
        assert (await client.post("/v1/refreshes", json=body)).status_code == 202
        body = {"force": True, "from_scratch": True}
        assert (await client.post("/v1/refreshes", json=body)).status_code == 202
    assert asked == [(["ridge", "lightgcn"], True, False), ([], True, True)]
    assert ("refresh_holder",) not in fake.calls  # any holder loses the lease
    words = refresh_command(["ridge", "lightgcn"], force=True, run=RUN)
    assert words[1:] == [
        *("-m", "recsvc", "refresh", "--json"),
        *("--model", "ridge", "--model", "lightgcn", "--force", "--run", RUN),
    ]
    assert refresh_command(from_scratch=True)[4:] == ["--json", "--from-scratch"]


async def test_a_second_one_is_refused(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    fake.holder = HOLDER
    document = checked(await client.post("/v1/refreshes"), 409)
    assert HOLDER in document["detail"]


async def test_two_at_once_start_one_process(fake: FakeEngine, tmp_path: Path) -> None:
    refreshes = fake_refreshes(tmp_path)
    # Two processes of a service have each a `Refreshes` of its own.
    other = fake_refreshes(tmp_path)
    async with asking(fake, refreshes, tmp_path) as one, asking(fake, other, tmp_path) as two:
        answers = await asyncio.gather(one.post("/v1/refreshes"), two.post("/v1/refreshes"))
    assert sorted(answer.status_code for answer in answers) == [202, 409]


async def test_one_that_ends_before_it_begins_is_503(fake: FakeEngine, tmp_path: Path) -> None:
    async with asking(fake, fake_refreshes(tmp_path, what="fail"), tmp_path) as client:
        response = await client.post("/v1/refreshes")
        assert "could not begin" in checked(response, 503)["detail"]
        assert response.headers["Retry-After"]


async def test_one_that_finds_another_at_work_is_409(fake: FakeEngine, tmp_path: Path) -> None:
    class TakenMeanwhile(FakeEngine):
        async def refresh_holder(self) -> str | None:
            self.called("refresh_holder")
            return HOLDER if len(self.calls) > 1 else None

    async with asking(TakenMeanwhile(), fake_refreshes(tmp_path, what="fail"), tmp_path) as client:
        checked(await client.post("/v1/refreshes"), 409)


async def test_the_process_is_in_a_session_of_its_own(fake: FakeEngine, tmp_path: Path) -> None:
    async with asking(fake, fake_refreshes(tmp_path, what="stay"), tmp_path) as client:
        response = await client.post("/v1/refreshes")
        assert response.status_code == 202
        manifest = orjson.loads((tmp_path / "refreshes" / RUN / "manifest.json").read_bytes())
        process = int(manifest["attempts"][-1]["holder"].split()[1])
        try:
            assert os.getsid(process) == process
        finally:
            os.kill(process, signal.SIGKILL)
        await until_then(lambda: not psutil.pid_exists(process))  # no zombie is left


async def test_neo4j_away_is_503(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    fake.error = Neo4jUnavailableError("away")
    checked(await client.post("/v1/refreshes"), 503)


@pytest.mark.parametrize(
    "body",
    [
        {"models": ["popularity"]},
        {"models": ["nonsense"]},
        {"models": []},
        {"force": 1},
        {"seed": 1},
        [],
    ],
)
async def test_what_is_not_as_described_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    checked(await client.post("/v1/refreshes", json=body), 422)


async def test_each_model_that_a_blend_can_be_made_of_can_be_asked_for() -> None:
    for name, model in MODELS.items():
        if model.linear:
            assert RefreshRequest(models=(name,)).models == (name,)
        else:
            with pytest.raises(ValidationError, match="walk3"):
                RefreshRequest(models=(name,))


@pytest.mark.parametrize(
    "name",
    ["nonsense", "..%2F" + RUN, RUN + "%2F", RUN + "%0A", RUN + "%00", "%2E%2E", RUN[:-1] + "2"],
)
async def test_no_other_file_is_read(client: httpx.AsyncClient, tmp_path: Path, name: str) -> None:
    (tmp_path / "refreshes" / "nonsense").mkdir()
    for folder in (tmp_path / "refreshes" / "nonsense", tmp_path, tmp_path / "refreshes"):
        (folder / "manifest.json").write_bytes(
            (tmp_path / "refreshes" / RUN / "manifest.json").read_bytes()
        )
    assert (await client.get(f"/v1/refreshes/{RUN}")).status_code == 200
    checked(await client.get(f"/v1/refreshes/{name}"), 404)


async def test_running_is_what_the_lease_says(
    client: httpx.AsyncClient, fake: FakeEngine, tmp_path: Path
) -> None:
    async def running() -> Any:
        response = await client.get(f"/v1/refreshes/{RUN}")
        RefreshDocument.model_validate(response.json())
        return response.json()["running"]

    fake.holder = HOLDER
    assert await running() is False  # it has ended
    write_manifest(tmp_path, state="unfinished", versions=None)
    assert await running() is True
    fake.holder = "db1 4712 aa"
    assert await running() is False
    fake.error = Neo4jUnavailableError("away")
    assert await running() is None


async def test_metrics_of_the_active_versions(
    client: httpx.AsyncClient, fake: FakeEngine, tmp_path: Path
) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    version = ActiveVersion("hybrid", 3, None, "ab", hour_ago, {"ndcg@20": 0.25}, 42.5)
    fake.active_versions = {"hybrid": version}
    metrics = await samples(client)
    age = metrics['recsvc_active_version_age_seconds{model="hybrid"}']
    assert age == pytest.approx(3600, abs=60)
    assert metrics['recsvc_version_metric{metric="ndcg@20",model="hybrid"}'] == 0.25
    assert metrics["recsvc_last_refresh_seconds"] == 42.5
    states = ("unfinished", "activated", "failed")
    assert [metrics[f'recsvc_last_refresh_state{{state="{each}"}}'] for each in states] == [0, 1, 0]
    fake.active_versions = {"hybrid": replace(version, activated_at=None, seconds=None)}
    write_manifest(tmp_path, run=RUN.replace("2025", "2026"), state="failed")
    metrics = await samples(client)
    assert "recsvc_last_refresh_seconds" not in metrics
    assert [metrics[f'recsvc_last_refresh_state{{state="{each}"}}'] for each in states] == [0, 0, 1]
