"""Refreshes begun over HTTP and by the clock, on a real Neo4j."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.service.refresh_schemas import RefreshDocument
from tests.conftest import Service, own_client, running_service
from tests.forked_refresh import VERSIONS, make_graph
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.neo4j

QUICK = {"models": ["walk3", "fastrp"]}
LEASE_SECONDS = 6.0


@pytest.fixture
def home(gateway: Neo4jGateway, tmp_path: Path) -> Path:
    make_graph(gateway, tmp_path / "tables")
    return tmp_path / "home"


@pytest.fixture
def environment(neo4j_address: Neo4jAddress, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RECSVC_HOME": str(home),
        "RECSVC_NEO4J_URI": neo4j_address.uri,
        "RECSVC_NEO4J_USER": neo4j_address.user,
        "RECSVC_NEO4J_PASSWORD": neo4j_address.password,
        "RECSVC_REFRESH_LEASE_SECONDS": str(LEASE_SECONDS),
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "serve.log"


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.long)])
def service(
    environment: dict[str, str], log: Path, request: pytest.FixtureRequest
) -> Iterator[Service]:
    """One process; and two, of which each tells that is asked."""
    arguments = () if request.param == 1 else ("--workers", "2")
    with running_service(environment, log, *arguments, until="/health/live") as service:
        service.client.timeout = httpx.Timeout(150)
        yield service


def told(service: Service, name: str) -> dict[str, Any]:
    with own_client(service) as client:
        response = client.get(f"/v1/refreshes/{name}")
    assert response.status_code == 200, response.text
    RefreshDocument.model_validate(response.json())
    return response.json()


def active(gateway: Neo4jGateway) -> dict[str, int]:
    rows = gateway.run(VERSIONS)
    return {row["model"]: row["version"] for row in rows if row["status"] == "active"}


def process_of(home: Path, name: str) -> int:
    manifest = orjson.loads((home / "refreshes" / name / "manifest.json").read_bytes())
    return int(manifest["attempts"][-1]["holder"].split()[1])


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_one_is_begun_watched_and_gone_on_with(
    service: Service, gateway: Neo4jGateway, home: Path, log: Path
) -> None:
    begun = service.client.post("/v1/refreshes", json=QUICK)
    assert begun.status_code == 202, begun.text + log.read_text()
    name = begun.json()["id"]
    assert told(service, name)["running"] is True

    second = service.client.post("/v1/refreshes", json=QUICK)
    assert second.status_code == 409, second.text

    # From its first step on its version is in the graph: before, there is nothing to go on with.
    until(lambda: len(told(service, name)["steps"]) > 1)
    os.kill(process_of(home, name), signal.SIGKILL)
    until(lambda: told(service, name)["running"] is False)
    assert told(service, name)["state"] == "unfinished"
    again = service.client.post("/v1/refreshes", json=QUICK)
    assert again.json() == {"id": name, "state": "unfinished"}

    document = until(lambda: (d := told(service, name))["state"] != "unfinished" and d)
    assert document["state"] == "activated", document
    assert document["running"] is False
    assert document["versions"] == active(gateway) == {"hybrid": 1, "fastrp": 1}
    assert document["models"] == QUICK["models"]
    assert document["start"] == "from scratch: no version is active"
    assert {step["attempt"] for step in document["steps"]} <= {1, 2}
    done = [step for step in document["steps"] if step["state"] == "done"]
    assert done[-1]["name"] == "neighbours"
    assert all(step["seconds"] >= 0 and step["memory_bytes"] > 2**20 for step in done)
    assert 0 <= document["metrics"]["hybrid"]["ndcg@20"]["mean"] <= 1

    until(lambda: "refresh ended" in log.read_text())
    logged = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
    steps = [each for each in logged if each.get("run") == name]
    assert [each["event"] for each in steps][-2:] == ["step ended", "refresh ended"]
    assert {"refresh begun", "step begun", "step ended"} <= {each["event"] for each in steps}
    ended = [each for each in steps if each["event"] == "step ended"]
    assert ended[-1]["step"] == "neighbours"
    assert ended[-1]["memory_bytes"] > 2**20

    page = until(lambda: told(service, name)["report"])
    shown = service.client.get(page)
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert f"<h1>Refresh {name}</h1>" in shown.text
    assert document["change"] is None  # the first
    assert document["objections"] == document["overridden"] == []

    until(lambda: service.client.get("/health/ready").status_code == 200)
    metrics = service.client.get("/metrics").text
    for line in (
        'recsvc_active_version_age_seconds{model="hybrid"} ',
        'recsvc_version_metric{metric="ndcg@20",model="hybrid"} ',
        "recsvc_last_refresh_seconds ",
        'recsvc_last_refresh_state{state="activated"} 1.0',
    ):
        assert f"\n{line}" in metrics, metrics


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_a_schedule_refreshes_when_it_is_due(
    environment: dict[str, str], gateway: Neo4jGateway
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "recsvc", "schedule", "--cron", "* * * * *"),
            *("--timezone", "Etc/UTC", "--model", "walk3"),
        ],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: list[str] = []
    try:
        assert process.stderr
        for line in process.stderr:
            lines.append(line)
            if '"refresh process ended"' in line or '"refresh process failed"' in line:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=PATIENCE_SECONDS)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, (lines, rest)
    assert active(gateway).keys() == {"hybrid"}
    log = [json.loads(line) for line in lines]  # nothing else is on stderr
    events = [each["event"] for each in log]
    assert events[:2] == ["refresh scheduled", "refresh process begun"]
    assert events[-2:] == ["refresh ended", "refresh process ended"]
    assert log[-1]["exit_code"] == 0
