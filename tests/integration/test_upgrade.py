"""A graph that older code left, under the code of today; and arrays of newer code, under this."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import LocalNeo4j
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from recsvc.snapshot import arrays
from tests.conftest import CHECKOUT, running_service
from tests.neo4j_servers import command_server
from tests.taste_tables import write_tables
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

OLD = "94350c041f700c67a12cc0c926f1895524c3e1cd"
"""Of 23 November 2026: its arrays have the fourth form."""
QUICK = RefreshOptions(models=("fastrp",), validation_users=60)
PATHS = [f"/v1/users/u{number}/recommendations" for number in range(40)]


@dataclass(frozen=True)
class Old:
    """A graph that older code made and refreshed.

    Attributes:
        server: the Neo4j.
        environment: in which `recsvc` is the older one.
    """

    server: LocalNeo4j
    environment: dict[str, str]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    code, folder = tmp_path_factory.mktemp("code"), tmp_path_factory.mktemp("shop")
    archive = subprocess.run(
        ("git", "archive", OLD), cwd=CHECKOUT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"the history of git is not here: {archive.stderr.decode().strip()}")
    subprocess.run(("tar", "-x", "-C", str(code)), input=archive.stdout, check=True)
    (folder / "tables").mkdir()
    write_tables(folder / "tables")
    with command_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        environment = {**os.environ, "PYTHONPATH": str(code), "RECSVC_HOME": str(folder / "home")}
        address = server.address()
        environment |= {"RECSVC_NEO4J_URI": address.uri, "RECSVC_NEO4J_PASSWORD": address.password}
        for arguments in (("ingest", "tables"), ("refresh", "--model", "fastrp")):
            command = (sys.executable, "-m", "recsvc", *arguments)
            subprocess.run(command, env=environment, check=True)
        yield Old(server, environment)


def refreshed(server: LocalNeo4j) -> None:
    with Neo4jGateway(server.address()) as gateway:
        refresh(gateway, QUICK, load_settings().events, home=server.folder.parent, force=True)


def statuses(client: httpx.Client) -> Counter[int]:
    return Counter(client.get(path).status_code for path in PATHS)


def items(client: httpx.Client) -> dict[str, set[str]]:
    answers = {path: client.get(path).json()["items"] for path in PATHS}
    return {path: {each["item_id"] for each in listed} for path, listed in answers.items()}


def test_no_request_is_lost_while_newer_code_takes_over(old: Old, tmp_path: Path) -> None:
    with running_service(old.environment, tmp_path / "old") as before:
        were = items(before.client)
        with running_service(os.environ, tmp_path / "new", until="/health/live") as after:
            assert after.client.get("/health/ready").status_code == 503
            refused = after.client.get(PATHS[1])
            assert (refused.status_code, "recsvc refresh" in refused.text) == (503, True)
            event = {"event_id": "e 1", "user_id": "u1", "item_id": "i179", "event": "listen"}
            after.client.post("/v1/events", json={"events": [event]}).raise_for_status()
            assert statuses(before.client) == {200: len(PATHS)}
            refreshed(old.server)
            until(lambda: after.client.get("/health/ready").status_code == 200)
            assert statuses(before.client) == {200: len(PATHS)}
            assert statuses(after.client) == {200: len(PATHS)}
            are = items(after.client)
            alike = sum(len(were[path] & are[path]) for path in PATHS)
            assert alike > 0.3 * sum(map(len, were.values())), alike
            known = after.client.get("/v1/users/u1/evidence").json()["evidence"]
            assert "i179" in [each["id"] for each in known]


def test_a_service_goes_on_with_what_it_serves_when_newer_code_refreshes(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed(old.server)
    with running_service(os.environ, tmp_path / "log") as service:
        versions = service.client.get(PATHS[1]).json()["versions"]
        with monkeypatch.context() as patch:
            patch.setattr(arrays, "_FORMAT", 999)
            refreshed(old.server)
        until(lambda: "snapshot format 999" in (tmp_path / "log").read_text())
        assert statuses(service.client) == {200: len(PATHS)}
        assert service.client.get(PATHS[1]).json()["versions"] == versions
        refreshed(old.server)
        until(lambda: service.client.get(PATHS[1]).json()["versions"] != versions)
        assert statuses(service.client) == {200: len(PATHS)}
