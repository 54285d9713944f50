"""What this product itself keeps in the graph, and ids, edited by hand: everybody is answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from loaders.catalogue import Query
from recsvc.refresh.pipeline import RefreshOptions, refresh
from recsvc.settings import load_settings
from recsvc.snapshot.deletion import pending_deletions
from tests.conftest import Served, Service, running_service

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = RefreshOptions(models=("fastrp", "walk3"), validation_users=60)


def _run(served: Served, text: str, **parameters: Any) -> list[dict[str, Any]]:
    query = Query("tests/odd", "", "write", dict.fromkeys(parameters, "any"), {}, text)
    return served.gateway.run(query, **parameters)


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "serve.log"


@pytest.fixture(scope="module")
def service(served: Served, log_file: Path) -> Iterator[Service]:
    with running_service(
        served.environment | {"RECSVC_ANSWER_CACHE_SECONDS": "0"}, log_file
    ) as service:
        yield service


@pytest.mark.parametrize(
    "note",
    [
        "{}",
        "{note: 'n', kind: 'user', digest: [1]}",
        "{note: ['n'], kind: 'user', digest: 'd'}",
        "{note: 'n', kind: 'x', digest: 'd'}",
    ],
)
def test_notes_of_deletions_that_cannot_be_read(
    served: Served, service: Service, log_file: Path, note: str
) -> None:
    (made,) = _run(served, f"CREATE (n:Deletion {note}) RETURN elementId(n) AS id")
    try:
        _run(served, "MERGE (:User {user_id: 'gone'})")
        assert service.client.delete("/v1/users/gone").status_code == 204
        listed = service.client.get("/v1/models")
        assert listed.status_code == 200
        assert listed.json()["deletions"]["pending"] == 0
        assert made["id"] in log_file.read_text()
    finally:
        _run(served, "MATCH (n:Deletion) DELETE n")


def test_a_note_of_which_only_the_number_or_time_is_odd_is_worked_on(
    served: Served, service: Service
) -> None:
    _run(
        served,
        "CREATE (:Deletion {note: 'n', kind: 'user', digest: 'd', number: 'a', at: 'z'})",
    )
    assert pending_deletions(served.gateway).count == 1
    _run(served, "MERGE (:User {user_id: 'gone'})")
    assert service.client.delete("/v1/users/gone").status_code == 204
    assert _run(served, "MATCH (n:Deletion) RETURN n") == []


ODD_VERSION = """
MATCH (v:EmbeddingVersion {status: 'active'})
WITH v, properties(v) AS before
SET v.metrics = '{', v.options = '[1]', v.activated_at = 'yesterday', v.seconds = 'long',
    v.validation_ndcg = 'x'
RETURN elementId(v) AS id, before
"""


def test_versions_that_were_edited(served: Served, service: Service) -> None:
    before = _run(served, ODD_VERSION)
    try:
        listed = service.client.get("/v1/models")
        assert listed.status_code == 200
        told = served.run("versions")
        assert told.returncode == 0, told.stderr
        for version in listed.json()["models"]:
            assert version["unreadable"] == ["activated_at", "metrics", "options"]
            named = f"{version['model']} {version['version']}: activated_at, metrics, options"
            assert named in " ".join(told.stderr.split())
            assert version["status"] == "active"
        answer = served.run("recommend", "u0", "--json")
        assert answer.returncode == 0, answer.stderr
        assert len(orjson.loads(answer.stdout)["items"]) == 10
        report = refresh(
            served.gateway, REFRESH_OPTIONS, load_settings().events, home=served.home, force=True
        )
        assert report.versions["hybrid"] == 2
    finally:
        for row in before:
            _run(
                served,
                "MATCH (v) WHERE elementId(v) = $id "
                "SET v.metrics = $before.metrics, v.options = $before.options",
                **row,
            )


@pytest.mark.parametrize(
    ("node", "id_"),
    [("Item", "item_id"), ("User", "user_id"), ("Category", "category_id")],
)
def test_ids_that_are_lists(served: Served, service: Service, node: str, id_: str) -> None:
    """Those who are linked with such a node are answered without it."""
    _run(
        served,
        f"""
        MATCH (u:User {{user_id: 'u0'}})-[:INTERACTED]->(had:Item)
        WITH u, collect(had) AS all
        CREATE (n:{node} {{note: 'odd', {id_}: ['x'], title: 'Odd', name: 'Odd'}})
        WITH u, all, n, n:Item AS item, n:User AS user
        FOREACH (_ IN CASE WHEN item THEN [1] ELSE [] END |
          CREATE (u)-[:INTERACTED {{event: 'listen', weight: 1.0}}]->(n))
        FOREACH (_ IN CASE WHEN user THEN [1] ELSE [] END |
          CREATE (u)-[:FOLLOWS]->(n)
          FOREACH (had IN all | CREATE (n)-[:INTERACTED {{event: 'listen', weight: 1.0}}]->(had)))
        FOREACH (_ IN CASE WHEN user OR item THEN [] ELSE [1] END |
          CREATE (u)-[:PREFERS]->(n)
          FOREACH (had IN all | CREATE (had)-[:IN_CATEGORY]->(n)))
        """,
    )
    try:
        listed = service.client.get(
            "/v1/users/u0/recommendations", params={"explain": "full", "k": 20}
        )
        assert listed.status_code == 200, listed.text
        assert listed.json()["degraded"] == []
        item = listed.json()["items"][0]["item_id"]
        explained = service.client.get(f"/v1/users/u0/recommendations/{item}/explanation")
        assert explained.status_code == 200, explained.text
        many = service.client.post("/v1/recommendations/batch", json={"user_ids": ["u0"], "k": 10})
        assert many.status_code == 200, many.text
        assert '["x"]' not in listed.text + explained.text + many.text
        told = served.run("explain", "u0", item)
        assert told.returncode == 0, told.stderr
    finally:
        _run(served, "MATCH (n {note: 'odd'}) DETACH DELETE n")
