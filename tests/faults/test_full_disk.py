"""A refresh and a service that cannot write: files past a size are refused as on a full disk."""

import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from loaders.gateway import Neo4jGateway
from tests.conftest import running_service
from tests.forked_refresh import VERSIONS, Forks, make_graph, orphans, served_arrays
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

QUICK: dict[str, Any] = {"models": ["fastrp", "walk3"]}
UNLIMITED = resource.RLIM_INFINITY


@pytest.fixture
def forked(forking: Forks, gateway: Neo4jGateway, tmp_path: Path) -> Forks:
    """Refreshes of a graph that has a version."""
    make_graph(gateway, tmp_path / "tables")
    forked = replace(forking, home=tmp_path / "home")
    assert forked.refresh(**QUICK)["status"] == 0
    return forked


def test_a_refresh_says_so_and_goes_on_when_there_is_room(
    forked: Forks, gateway: Neo4jGateway
) -> None:
    expected = served_arrays(gateway)
    places: set[frozenset[str]] = set()
    for largest_file in (0, *(750 * 4**power for power in range(7))):
        told = forked.refresh(largest_file=largest_file, **QUICK)
        if told["status"] == 0:
            break
        assert told["error"].startswith("RefreshError"), told
        assert "cannot be used" in told["error"]
        assert "the same command goes on" in told["error"]
        places.add(frozenset(path.name for path in forked.home.glob("refreshes/*/*.npz")))
        active = [v["version"] for v in gateway.run(VERSIONS) if v["status"] == "active"]
        assert active == [1, 1]
        assert served_arrays(gateway) == expected
    assert told["status"] == 0, told
    assert len(places) > 1  # it came further when there was more room
    assert served_arrays(gateway) == expected
    assert orphans(gateway) == []
    active = [v["version"] for v in gateway.run(VERSIONS) if v["status"] == "active"]
    assert len(set(active)) == 1
    assert active[0] > 1


def answered(client: httpx.Client) -> dict[str, int]:
    response = client.get("/v1/users/u007/recommendations")
    assert response.status_code == 200, response.text
    assert response.json()["degraded"] == []
    return response.json()["versions"]


def test_a_service_answers_from_the_version_before_until_there_is_room(
    forked: Forks, environment: dict[str, str], tmp_path: Path
) -> None:
    environment = environment | {"RECSVC_ANSWER_CACHE_SECONDS": "0"}
    with running_service(environment, tmp_path / "serve.log") as service:
        assert answered(service.client)["hybrid"] == 1
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (0, UNLIMITED))
        assert forked.refresh(seed=5, force=True, **QUICK)["status"] == 0
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            assert answered(service.client)["hybrid"] == 1
            time.sleep(0.1)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))
        until(lambda: answered(service.client)["hybrid"] == 2)
