"""The service in front of a database that is made read-only and writable again.

A short form is in `tests/integration/test_local_neo4j.py`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from recsvc.settings_file import graph_tables
from tests.conftest import QUICK, recsvc, refreshed, running_service
from tests.graph_hash import graph_hash
from tests.mappings import MOVIES
from tests.neo4j_servers import own_server
from tests.statement import statement
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

READ_ONLY = {"writes": "the graph database is read-only"}
EVENT = {"events": [{"event_id": "one", "user_id": "u1", "item_id": "i1", "event": "once"}]}
COUNTED = """
MATCH (:User {user_id: 'u1'})-[r:INTERACTED {event: 'once'}]->(:Item {item_id: 'i1'})
RETURN r.count AS count, COUNT { (:Event {event_id: 'one'}) } AS entries
"""


@pytest.fixture
def server() -> Iterator[LocalNeo4j]:
    """A Neo4j of this test alone, which can be stopped and started otherwise."""
    with own_server() as server:
        yield server


def options_of(server: LocalNeo4j) -> LocalNeo4jOptions:
    """How it was started, to start it again on the same ports."""
    ports = (
        int(str(server.address().uri).rpartition(":")[2]),
        int(str(server.status().browser_url).split(":")[2].split("/")[0]),
    )
    return LocalNeo4jOptions(server.folder.parent, *ports, heap_megabytes=512)


def degraded(client: httpx.Client) -> dict[str, str]:
    return client.get("/health/ready").json()["degraded"]


def test_it_is_said_before_anybody_writes_and_until_it_is_over(
    server: LocalNeo4j, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = server.address()
    with Neo4jGateway(address) as gateway:
        graph = refreshed(address, gateway, tmp_path_factory, QUICK)
    options = options_of(server)
    server.down()
    LocalNeo4j(replace(options, read_only=True)).up()
    with running_service(graph.environment, tmp_path / "serve.log") as service:
        assert degraded(service.client) == READ_ONLY
        answer = service.client.get("/v1/users/u1/recommendations")
        assert (answer.status_code, answer.json()["degraded"]) == (200, [])
        assert 'recsvc_degraded{part="writes"} 1.0' in service.client.get("/metrics").text
        refused = service.client.post("/v1/events", json=EVENT)
        assert refused.status_code == 503
        assert "read-only" in refused.json()["detail"]

        server.down()
        LocalNeo4j(options).up()
        until(lambda: degraded(service.client) == {})  # nobody has written
        assert service.client.post("/v1/events", json=EVENT).json()["new"] == 1
        server.down()
        LocalNeo4j(replace(options, read_only=True)).up()
        until(lambda: degraded(service.client) == READ_ONLY)
    server.down()
    LocalNeo4j(options).up()
    # An event counts once, also when both the service and Neo4j were started again.
    with running_service(graph.environment, tmp_path / "again.log") as service:
        until(lambda: degraded(service.client) == {})
        assert service.client.post("/v1/events", json=EVENT).json()["new"] == 0
    with Neo4jGateway(address) as gateway:
        (counted,) = statement(gateway, COUNTED)
        assert counted == {"count": 1, "entries": 1}


def test_a_mapped_graph_needs_no_rights_but_to_read(
    server: LocalNeo4j, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.address()
    with Neo4jGateway(address) as gateway:
        statement(gateway, "UNWIND range(1, 30) AS n CREATE (:Movie {movieId: n, title: 'm' + n})")
        statement(
            gateway,
            "UNWIND range(1, 40) AS n CREATE (u:User {userId: n}) WITH u, n "
            "UNWIND range(1, 8) AS k MATCH (m:Movie {movieId: 1 + (n * k + k * k) % 30}) "
            "CREATE (u)-[:RATED {rating: 5.0, timestamp: 1700000000 + k}]->(m)",
        )
        before = graph_hash(gateway)
    options = options_of(server)
    server.down()
    LocalNeo4j(replace(options, read_only=True)).up()
    for name, value in (("HOME", str(tmp_path / "home")), ("NEO4J_URI", address.uri),
                        ("NEO4J_USER", address.user),
                        ("NEO4J_PASSWORD", address.password)):  # fmt: skip
        monkeypatch.setenv(f"RECSVC_{name}", value)
    monkeypatch.chdir(tmp_path)
    models = '\n[refresh]\nmodels = ["fastrp", "walk3"]\nvalidation_users = 20\n'
    for writes in ("own", "none"):
        graph = MOVIES.model_copy(update={"writes": writes, "item_categories": (),
                                          "category": {}})  # fmt: skip
        Path("recsvc.toml").write_text(graph_tables(graph) + models, encoding="utf-8")
        assert recsvc("attach", "--check").returncode == 0
        done = recsvc("refresh")
        if writes == "own":
            assert done.returncode == 1
            assert 'of a mapped graph writes = "none" in [graph] writes nothing' in done.stderr
            assert "Traceback" not in done.stderr
        else:
            assert done.returncode == 0, done.stderr
    listed = json.loads(recsvc("recommend", "1", "-k", "5", "--json").stdout)
    assert len(listed["items"]) == 5
    with Neo4jGateway(address) as gateway:
        assert graph_hash(gateway) == before
