"""What is exported of a user is what the graph has of them, on a real Neo4j."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from recsvc.graph import export_store
from recsvc.service.export_schemas import ExportDocument
from tests.conftest import Served
from tests.integration.in_process import ask, serving, show
from tests.statement import statement

pytestmark = pytest.mark.neo4j

COUNTS = """
MATCH (u:User {user_id: $user})
RETURN COUNT { (u)-[:INTERACTED]->() } AS interactions, COUNT { (u)-[:FOLLOWS]->() } AS follows,
       COUNT { (u)<-[:FOLLOWS]-() } AS followers, COUNT { (u)-[:PREFERS]->() } AS preferences,
       COUNT { MATCH (e:Event {user_id: $user}) } AS events,
       COUNT { MATCH (o:Outcome {user_id: $user}) } AS outcomes,
       [name IN keys(u) WHERE name STARTS WITH 'embedding_'] AS vectors
"""
ODD = """
MATCH (u:User {user_id: 'ada'})-[r:INTERACTED]->(:Item {item_id: 'i1'})
SET r.weight = 'many', r.when = date('2026-11-01'), r.tags = ['a', 'b'],
    r.bytes = $bytes, r.days = duration('P3D'), u.embedding_note = 'mine',
    u.embedding_odd = [0.5, 0.0 / 0.0], r.far = datetime({year: 99999, timezone: '+01:00'}),
    r.days_far = [date({year: 99999}), date('2026-11-01')]
"""


@pytest.fixture
async def client(served: Served, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(served, tmp_path) as (client, _, _):
        yield client


async def exported(client: httpx.AsyncClient, user: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/users/{user}/export")
    assert answer.status_code == 200, answer.text
    return ExportDocument.model_validate_json(answer.content).model_dump()


async def test_nothing_of_a_user_is_left_out_whatever_the_page(
    client: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await ask(client, "u3")
    first, second = (item["item_id"] for item in answer["items"][:2])
    await show(client, answer, {first: 2, second: 1}, "impression")
    whole = await exported(client, "u3")
    (counts,) = statement(served.gateway, COUNTS, user="u3")
    vectors = counts.pop("vectors")
    assert {name: len(whole[name]) for name in counts} == counts
    assert counts["interactions"] > 7
    assert counts["outcomes"] == 3
    assert [each["name"] for each in whole["vectors"]] == sorted(vectors) != []
    assert all(each["model"] and each["version"] and each["vector"] for each in whole["vectors"])
    listed = await ask(client, "u3", explain="full")
    best = [item["item_id"] for item in listed["items"]]
    assert [item["item_id"] for item in whole["recommendations"]["items"]] == best
    monkeypatch.setattr(export_store, "_PAGE", 3)
    again = await exported(client, "u3")
    assert {name: again[name] for name in counts} == {name: whole[name] for name in counts}


async def test_what_was_put_comes_back(client: httpx.AsyncClient, served: Served) -> None:
    """Also what somebody wrote by hand and no list can read."""
    links = [{"category_id": "c1", "weight": 2.0}]
    for user, body in (("ada", {"name": "Ada", "town": "Ulm", "preferences": links}), ("bob", {})):
        (await client.put(f"/v1/users/{user}", json=body)).raise_for_status()
    for path in ("ada/follows/u1", "bob/follows/ada"):
        put = await client.put(f"/v1/users/{path}", json={"since": "2025-11-21"})
        put.raise_for_status()
    event = {"user_id": "ada", "item_id": "i1", "event": "view", "event_id": "e 1"}
    (await client.post("/v1/events", json={"events": [event]})).raise_for_status()
    statement(served.gateway, ODD, bytes=b"\x00\xff")
    document = await exported(client, "ada")
    assert document["user"].items() >= {"name": "Ada", "town": "Ulm"}.items()
    (interaction,) = document["interactions"]
    expected = {"item_id": "i1", "event": "view", "weight": "many", "when": "2026-11-01"}
    assert interaction.items() >= (expected | {"tags": ["a", "b"]}).items()
    assert [(each["user_id"], each["since"][:10]) for each in document["follows"]] == [
        ("u1", "2025-11-21")
    ]
    (follower,) = document["followers"]
    assert (follower["user_id"], "name" in follower) == ("bob", False)
    assert [(each["category_id"], each["weight"]) for each in document["preferences"]] == [
        ("c1", 2.0)
    ]
    assert [(each["event_id"], each["item_id"]) for each in document["events"]] == [("e 1", "i1")]
    vectors = {each["name"]: each["vector"] for each in document["vectors"]}
    assert vectors == {"embedding_note": "mine", "embedding_odd": [0.5, None]}
    assert interaction["far"] == "+99998-12-31T23:00:00+00:00"
    assert interaction["days_far"] == ["+99999-01-01", "2026-11-01"]
    assert (interaction["bytes"], interaction["days"]) == ("b'\\x00\\xff'", "P3D")
    assert (await client.delete("/v1/users/ada")).status_code == 204
    assert (await client.get("/v1/users/ada/export")).status_code == 404
    (await client.delete("/v1/users/bob")).raise_for_status()


def test_the_command_writes_the_same(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "u9.json"
    assert "u9.json" in served.run("export-user", "u9", "--out", str(file)).stderr
    written = orjson.loads(file.read_bytes())
    ExportDocument.model_validate(written)
    printed = orjson.loads(served.run("export-user", "u9").stdout)
    now = {"exported_at", "recommendations"}
    assert {k: v for k, v in written.items() if k not in now} == {
        k: v for k, v in printed.items() if k not in now
    }
    assert len(written["interactions"]) > 5
    refused = served.run("export-user", "u9", "--out", str(tmp_path / "u9.csv"))
    assert (refused.returncode, ".json" in refused.stderr) == (2, True)
    unknown = served.run("export-user", "nobody")
    assert (unknown.returncode, "no user 'nobody'" in unknown.stderr) == (1, True)
