"""The feed of changes on a real Neo4j: its order, what it tells, and what it forgets."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from loaders.gateway import Neo4jGateway
from loaders.schema import apply_schema
from recsvc.errors import ChangesGoneError
from recsvc.graph import change_store
from recsvc.graph.change_store import prune_changes
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.recommend.graph_writer import GraphWriter
from recsvc.settings import load_settings
from tests.conftest import recsvc
from tests.integration.in_process import client_of
from tests.odd_shop import ODD_IDS
from tests.statement import statement

pytestmark = pytest.mark.neo4j

TEXTS = """
MATCH (n)
UNWIND keys(n) AS name
RETURN collect(DISTINCT toStringOrNull(n[name])) AS texts
"""


def kept_store(gateway: Neo4jGateway) -> Store:
    store = Store(gateway.address, timeout_seconds=120.0)
    store.keeps_changes = True
    return store


@pytest.fixture
def shop(gateway: Neo4jGateway) -> Neo4jGateway:
    apply_schema(gateway)
    return gateway


@pytest.fixture
async def client(shop: Neo4jGateway, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    engine = Engine(
        kept_store(shop), snapshot_folder=tmp_path, events=load_settings().events, max_evidence=100
    )
    async with client_of(engine, tmp_path) as client:
        yield client


def event(event_id: str, user: str = "ann", item: str = "i1", **more: Any) -> dict[str, Any]:
    at = "2025-11-21T12:00:00+00:00"
    event = {"event_id": event_id, "user_id": user, "item_id": item, "event": "listen"}
    return {**event, "timestamp": at, **more}


async def feed(client: httpx.AsyncClient, after: int = 0, limit: int = 1000) -> dict[str, Any]:
    answer = await client.get("/v1/changes", params={"after": after, "limit": limit})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def told(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """What the feed tells, without positions and times of commits."""
    found = await feed(client)
    changes = found["changes"]
    assert [each.pop("position") for each in changes] == [*range(1, len(changes) + 1)]
    times = [datetime.fromisoformat(each.pop("at")) for each in changes]
    assert times == sorted(times)
    assert found["next"] == found["last"] == len(changes)
    return changes


async def test_every_change_that_was_accepted_is_told_in_its_order(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    events = [event("e1", value=3), event("e2", "bob", event="hide"), event("e1", "cem")]
    await client.post("/v1/events", json=events)
    await client.post("/v1/events", json=[event("e1"), event("e2")])  # known: no change
    beyond = [event("e8", value=9e5), event("e9", value=9e5)]
    assert (await client.post("/v1/events", json=beyond)).status_code == 422
    await client.put("/v1/items/i2", json={"title": "Blackout"})
    await client.put("/v1/users/ann/follows/bob")
    assert (await client.put("/v1/users/ann/follows/nobody")).status_code == 404
    await client.delete("/v1/users/ann/interactions/i1", params={"event": "listen"})
    assert (await client.delete("/v1/users/ann/interactions/i7")).status_code == 404
    await client.delete("/v1/users/ann/follows/bob")
    assert await told(client) == [
        {"change": "event", **event("e1", value=3.0)},
        {"change": "event", **event("e2", "bob", event="hide")},
        {"change": "put", "kind": "item", "item_id": "i2"},
        {"change": "follow", "user_id": "ann", "other_id": "bob"},
        {"change": "retraction", "user_id": "ann", "item_id": "i1", "event": "listen"},
        {"change": "unfollow", "user_id": "ann", "other_id": "bob"},
    ]


async def test_a_deletion_is_told_by_its_digest_and_nothing_else_names_who_it_was(
    client: httpx.AsyncClient, shop: Neo4jGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_store, "_PER_TRANSACTION", 2)
    who = "nobody-else-7"
    await client.post("/v1/events", json=[event("e1", who), event("e2"), event("e3", who)])
    await client.put(f"/v1/users/ann/follows/{who}")
    await client.put(f"/v1/users/{who}", json={"name": "N"})
    assert (await client.delete(f"/v1/users/{who}")).status_code == 204
    assert (await client.delete("/v1/items/i1")).status_code == 204
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (f"user\0{who}", "item\0i1")]
    removed = {"change": "removed"}
    assert await told(client) == [
        *[removed] * 5,
        {"change": "deletion", "kind": "user", "digest": digests[0]},
        {"change": "deletion", "kind": "item", "digest": digests[1]},
    ]
    (row,) = statement(shop, TEXTS)
    assert not [text for text in row["texts"] if text is not None and who in text]


async def test_odd_ids_are_told_as_they_are(client: httpx.AsyncClient) -> None:
    await client.post("/v1/events", json=[event(each, each, each) for each in ODD_IDS])
    changes = await told(client)
    assert [each["user_id"] for each in changes] == [*ODD_IDS]
    assert [each["item_id"] for each in changes] == [*ODD_IDS]


async def test_a_reader_beside_many_writers_misses_nothing(shop: Neo4jGateway) -> None:
    stores = [kept_store(shop) for _ in range(3)]
    for store in stores:
        await store.open()
    writers = [GraphWriter(store, None) for store in stores]  # pyright: ignore[reportArgumentType] (deletes nothing)
    row = {"item_id": "i1", "event": "view", "value": None, "timestamp": datetime.now(UTC)}

    async def write(number: int) -> None:
        for n in range(12):
            name = f"{number}-{n}"
            await writers[number % 3].add_events([{**row, "event_id": name, "user_id": name}])

    writing = asyncio.gather(*map(write, range(6)))
    seen: list[Any] = []
    while len(seen) < 72:
        written = writing.done()
        part = await stores[0].changes(len(seen), 7)
        seen += part.changes
        assert part.changes or not written
    await writing
    assert [each["position"] for each in seen] == [*range(1, 73)]
    assert len({each["event_id"] for each in seen}) == 72
    for store in stores:
        await store.close()


async def test_a_reader_stops_where_a_position_is_not_to_be_seen_yet(shop: Neo4jGateway) -> None:
    store = kept_store(shop)
    await store.open()
    statement(shop, "UNWIND [1, 2, 4] AS n CREATE (:Change {position: n, change: 'removed'})")
    statement(shop, "CREATE (:ChangeFeed {name: 'changes', last: 4, pruned: 0})")
    part = await store.changes(0, 10)
    assert ([each["position"] for each in part.changes], part.next, part.last) == ([1, 2], 2, 4)
    assert (await store.changes(2, 10)).next == 2
    await store.close()


async def test_what_is_not_kept_any_more_is_gone_and_said_to_be(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    await client.post("/v1/events", json=[event(f"e{n}") for n in range(10)])
    old = datetime.now(UTC) - timedelta(days=8)
    statement(shop, "MATCH (c:Change) WHERE c.position <= 6 SET c.at = $old", old=old)
    week = datetime.now(UTC) - timedelta(days=7)
    assert prune_changes(shop, week) == 6
    assert prune_changes(shop, week) == 0
    answer = await client.get("/v1/changes", params={"after": 5})
    assert answer.status_code == 410
    assert "go on after 6" in answer.json()["detail"]
    assert [each["position"] for each in (await feed(client, 6))["changes"]] == [7, 8, 9, 10]
    assert prune_changes(shop, datetime.now(UTC) + timedelta(days=1)) == 4
    await client.post("/v1/events", json=[event("new")])
    assert [each["position"] for each in (await feed(client, 10))["changes"]] == [11]


def test_commands_tell_too_and_off_nothing_is_told(
    shop: Neo4jGateway, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    statement(
        shop,
        "UNWIND ['u0', 'u1'] AS id MERGE (i:Item {item_id: 'i1'}) "
        "CREATE (:User {user_id: id})-[:INTERACTED {event: 'view', count: 1}]->(i)",
    )
    told = "MATCH (c:Change) RETURN c.change AS change ORDER BY c.position"
    for user in ("u0", "u1"):
        assert statement(shop, told) == []
        for arguments in (("retract", user, "i1"), ("delete-user", user)):
            done = recsvc(*arguments)
            assert done.returncode == 0, done.stderr
        monkeypatch.setenv("RECSVC_CHANGES__KEEP_DAYS", "7")
    assert [row["change"] for row in statement(shop, told)] == ["removed", "deletion"]


async def test_positions_that_are_gone_are_an_error_of_the_store(shop: Neo4jGateway) -> None:
    store = kept_store(shop)
    await store.open()
    statement(shop, "CREATE (:ChangeFeed {name: 'changes', last: 9, pruned: 9})")
    with pytest.raises(ChangesGoneError, match="go on after 9"):
        await store.changes(0, 10)
    assert (await store.changes(9, 10)).changes == []
    await store.close()
