"""REST writes and group commit on a real Neo4j, through the service in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import CategoryCycleError, Neo4jTimeoutError, QueryError
from loaders.gateway import Neo4jGateway
from loaders.schema import apply_schema
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.recommend.graph_writer import PutNode
from recsvc.settings import load_settings
from tests.integration.in_process import client_of
from tests.statement import statement

pytestmark = pytest.mark.neo4j

HOSTILE_IDS = [
    "a/b",
    "%2F",
    "..",
    "nul\0inside",
    "😀",
    "'; MATCH (n) DETACH DELETE n //",
    "x" * 512,
]


class CountingStore(Store):
    """A store that counts its transactions."""

    commits = 0

    async def _transact(self, *arguments: Any) -> Any:
        self.commits += 1
        return await super()._transact(*arguments)


@pytest.fixture
def store(gateway: Neo4jGateway) -> CountingStore:
    apply_schema(gateway)
    return CountingStore(gateway.address, timeout_seconds=120.0)


@pytest.fixture
def engine(store: CountingStore, tmp_path: Path) -> Engine:
    events = load_settings().events
    return Engine(store, snapshot_folder=tmp_path, events=events, max_evidence=100)


@pytest.fixture
async def client(engine: Engine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(engine, tmp_path) as client:
        yield client


def address(kind: str, node_id: str) -> str:
    return f"/v1/{kind}/{quote(node_id, safe='').replace('.', '%2E')}"


ITEM = {
    "title": "Blackout",
    "created_at": "2007-10-25T02:00:00+02:00",
    "available": "yes",
    "price": 9.5,
    "tracks": 12,
    "live": False,
    "formats": ["cd", "lp"],
    "lengths": [1, 2.5],
    "nothing": None,
    "categories": ["24", {"category_id": 25, "weight": 2}],
}


@pytest.mark.parametrize("item_id", HOSTILE_IDS)
async def test_an_item_is_made_read_replaced_and_written_as_it_was_read(
    client: httpx.AsyncClient, item_id: str
) -> None:
    path = address("items", item_id)
    assert (await client.get(path)).status_code == 404
    made = await client.put(path, json=ITEM)
    assert (made.status_code, made.json()) == (201, {"id": item_id, "made": True})
    read = (await client.get(path)).json()
    assert read == {
        "item_id": item_id,
        "title": "Blackout",
        "created_at": "2007-10-25T00:00:00+00:00",
        "available": True,
        "price": 9.5,
        "tracks": 12,
        "live": False,
        "formats": ["cd", "lp"],
        "lengths": [1.0, 2.5],
        "categories": [
            {"category_id": "25", "weight": 2.0},
            {"category_id": "24", "weight": 1.0},
        ],
    }
    again = await client.put(path, json=read)
    assert (again.status_code, again.json()) == (200, {"id": item_id, "made": False})
    assert (await client.get(path)).json() == read
    await client.put(path, json={"title": "Other"})
    assert (await client.get(path)).json() == {
        "item_id": item_id,
        "title": "Other",
        "categories": read["categories"],
    }
    await client.put(path, json={"categories": []})
    assert (await client.get(path)).json() == {"item_id": item_id, "categories": []}


async def test_a_put_leaves_embeddings_and_what_others_link(
    client: httpx.AsyncClient, gateway: Neo4jGateway
) -> None:
    statement(
        gateway,
        "CREATE (:User {user_id: 'u', name: 'U', embedding_lightgcn_a: [1.0]})"
        "-[:INTERACTED {event: 'e'}]->(:Item {item_id: 'i'})",
    )
    assert (await client.put("/v1/users/u", json={"preferences": ["c"]})).status_code == 200
    assert (await client.get("/v1/users/u")).json() == {
        "user_id": "u",
        "preferences": [{"category_id": "c", "weight": 1.0}],
    }
    (left,) = statement(
        gateway,
        "MATCH (u:User {user_id: 'u'})-[:INTERACTED]->(i) "
        "RETURN properties(u) AS u, i.item_id AS i",
    )
    assert left == {"u": {"user_id": "u", "embedding_lightgcn_a": [1.0]}, "i": "i"}


async def test_an_event_leaves_every_property(client: httpx.AsyncClient) -> None:
    mine = {"locked": True, "made": "by hand", "uncounted": 1}
    assert (await client.put("/v1/items/i", json=mine)).status_code == 201
    event = [{"user_id": "u", "item_id": "i", "event": "view"}]
    assert (await client.post("/v1/events", json=event)).json()["new"] == 1
    assert (await client.put("/v1/users/u", json={"locked": True})).status_code == 200
    found = (await client.get("/v1/items/i")).json()
    assert mine.items() <= found.items()


async def test_a_category_has_its_parents(client: httpx.AsyncClient) -> None:
    path = "/v1/categories/1"
    await client.put(path, json={"name": "Dance", "kind": "genre", "parent_id": 7})
    expected = {"category_id": "1", "name": "Dance", "kind": "genre", "parent_id": "7"}
    assert (await client.get(path)).json() == expected
    await client.put(path, json={"parent_id": ["8", "9"]})
    several = {"category_id": "1", "parent_id": ["8", "9"]}
    assert (await client.get(path)).json() == several
    assert (await client.put(path, json=several)).status_code == 200
    await client.put(path, json={"name": "Disco"})
    assert (await client.get(path)).json() == {**several, "name": "Disco"}
    await client.put(path, json={"parent_id": None})
    assert (await client.get(path)).json() == {"category_id": "1", "parent_id": None}
    assert (await client.get("/v1/categories/8")).status_code == 200


async def test_follows(client: httpx.AsyncClient, gateway: Neo4jGateway) -> None:
    path = "/v1/users/a/follows/b"
    assert (await client.put(path)).status_code == 404
    assert statement(gateway, "MATCH (u:User) RETURN u") == []
    for user_id in "ab":
        await client.put(f"/v1/users/{user_id}", json={})
    assert (await client.delete(path)).status_code == 404
    assert (await client.put(path, json={"since": "2020-01-01"})).status_code == 201
    assert (await client.put(path)).status_code == 200
    found = "MATCH (:User {user_id: 'a'})-[r:FOLLOWS]->(:User {user_id: 'b'}) RETURN r.since AS at"
    assert [row["at"].year for row in statement(gateway, found)] == [2020]
    assert (await client.put("/v1/users/a/follows/a")).status_code == 422
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
    assert statement(gateway, found) == []


async def test_many_requests_share_transactions_and_each_hears_of_its_own_events(
    client: httpx.AsyncClient, store: CountingStore, gateway: Neo4jGateway
) -> None:
    def events(number: int) -> list[dict[str, Any]]:
        # One of each request's own, and one that ten requests share.
        ids = f"own {number}", f"shared {number // 10}"
        return [{"event_id": i, "user_id": f"u{number % 7}", "item_id": f"i{i}"} for i in ids]

    before = store.commits
    answers = await asyncio.gather(
        *(client.post("/v1/events", json=events(number)) for number in range(200))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["new"] for answer in answers) == 220
    assert [answer.json()["new"] for answer in answers[:10]] == [2, *[1] * 9]
    assert store.commits - before < 100
    (counted,) = statement(gateway, "MATCH ()-[r:INTERACTED]->() RETURN sum(r.count) AS n")
    assert counted["n"] == 220
    repeated = await client.post("/v1/events", json=events(3))
    assert repeated.json() == {"received": 2, "new": 0, "unknown_kinds": []}


async def test_changes_of_one_batch_come_out_as_one_by_one(
    client: httpx.AsyncClient, store: CountingStore
) -> None:
    for user_id in "ab":
        await client.put(f"/v1/users/{user_id}", json={})
    before = store.commits
    answers = await asyncio.gather(
        client.put("/v1/items/i", json={"title": "1", "price": 1, "categories": ["x", "y"]}),
        client.put("/v1/users/a/follows/b", json={"since": "2020-01-01"}),
        client.delete("/v1/users/a/follows/b"),
        client.put("/v1/items/i", json={"title": "2"}),
        client.put("/v1/users/a/follows/b"),
        client.put("/v1/users/a/follows/nobody"),
        client.put("/v1/items/i", json={"title": "3", "categories": ["x", "z"]}),
        client.put("/v1/items/i", json={"title": "4"}),
    )
    assert [answer.status_code for answer in answers] == [201, 201, 204, 200, 201, 404, 200, 200]
    assert store.commits - before < len(answers)
    assert (await client.get("/v1/items/i")).json() == {
        "item_id": "i",
        "title": "4",
        "categories": [{"category_id": "x", "weight": 1.0}, {"category_id": "z", "weight": 1.0}],
    }


async def test_two_services_make_no_category_its_own_ancestor(
    engine: Engine, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    store = Store(gateway.address, timeout_seconds=120.0)
    events = load_settings().events
    other = Engine(store, snapshot_folder=tmp_path, events=events, max_evidence=100)
    await asyncio.gather(engine.start(), other.start())

    def put(category: str, *parents: str) -> PutNode:
        return PutNode("category", category, {}, tuple((parent, 1.0) for parent in parents))

    try:
        for n in range(5):
            one, two = f"one{n}", f"two{n}"
            outcomes = await asyncio.gather(
                engine.change(put(one, two)), other.change(put(two, f"made{n}", one)),
                engine.change(put(f"beside{n}", one)), return_exceptions=True,
            )  # fmt: skip
            refused = [each for each in outcomes if isinstance(each, CategoryCycleError)]
            assert (len(refused), outcomes[2] in ("made", "kept")) == (1, True)
            made = statement(
                gateway, "MATCH (c:Category {category_id: $id}) RETURN c", id=f"made{n}"
            )
            assert len(made) == (outcomes[1] is not refused[0])  # all of it or nothing
    finally:
        await asyncio.gather(engine.stop(), other.stop())


async def test_one_refused_request_does_not_fail_the_others(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    # No check lets an empty name of a property through; Neo4j refuses it, and the whole batch.
    properties = [{"title": str(number)} for number in range(10)]
    properties[4] = {"": "x"}
    changes = [PutNode("item", str(number), each) for number, each in enumerate(properties)]
    outcomes = await asyncio.gather(*map(engine.change, changes), return_exceptions=True)
    assert isinstance(outcomes.pop(4), QueryError)
    assert outcomes == ["made"] * 9
    assert (await client.get("/v1/items/4")).status_code == 404


async def test_a_stop_commits_what_waits(engine: Engine, gateway: Neo4jGateway) -> None:
    await engine.start()
    changes = [asyncio.create_task(engine.change(PutNode("user", str(n), {}))) for n in range(50)]
    await asyncio.sleep(0)
    await engine.stop()
    assert await asyncio.gather(*changes) == ["made"] * 50
    assert len(statement(gateway, "MATCH (u:User) RETURN u")) == 50
    with pytest.raises(Neo4jTimeoutError, match="stops"):
        await engine.change(PutNode("user", "late", {}))


@pytest.mark.parametrize("callers", [5, pytest.param(16, marks=pytest.mark.long)])
async def test_everything_at_once_never_fails(
    client: httpx.AsyncClient, gateway: Neo4jGateway, callers: int
) -> None:
    """Events, changes and deletions of the same few nodes, from many callers."""

    async def caller(number: int) -> list[int]:
        statuses: list[int] = []
        for turn in range(12):
            user, item = f"u{(number + turn) % 4}", f"i{(number * 3 + turn) % 4}"
            event = {"event_id": f"{number}.{turn}", "user_id": user, "item_id": item}
            asks = [
                client.post("/v1/events", json=[event]),
                client.put(f"/v1/users/{user}", json={"preferences": ["c0", f"c{turn % 3}"]}),
                client.put(f"/v1/items/{item}", json={"categories": [f"c{number % 3}"]}),
                client.put(f"/v1/users/{user}/follows/u9"),
                client.delete(
                    f"/v1/{'users' if turn % 2 else 'items'}/{(user, item)[turn % 2 - 1]}"
                ),
            ]
            first = number % len(asks)
            statuses += [(await ask).status_code for ask in (*asks[first:], *asks[:first])]
        return statuses

    answered = await asyncio.gather(*map(caller, range(callers)))
    statuses = [each for found in answered for each in found]
    assert set(statuses) <= {200, 201, 204, 404}
    ends = [f"/v1/users/u{n}" for n in (0, 1, 2, 3, 9)] + [f"/v1/items/i{n}" for n in range(4)]
    await asyncio.gather(*(client.delete(path) for path in ends))
    derived = "MATCH (n:User|Item|Event|Deletion) RETURN labels(n) AS labels"
    assert statement(gateway, derived) == []


OWN_INDEXES = {
    "CREATE INDEX owners_url FOR (i:Item) ON (i.url)": "DROP INDEX owners_url",
    "CREATE TEXT INDEX owners_text FOR (i:Item) ON (i.note)": "DROP INDEX owners_text",
    "CREATE INDEX owners_pair FOR (i:Item) ON (i.maker, i.`odd name`)": "DROP INDEX owners_pair",
    "CREATE CONSTRAINT owners_sku FOR (i:Item) REQUIRE i.sku IS UNIQUE":
        "DROP CONSTRAINT owners_sku",
}  # fmt: skip
SMALL_ENOUGH, TOO_LARGE = "x" * 8_000, "x" * 40_000
TOO_LARGE_SAID = "an index on this property takes no value that large"


@pytest.fixture
def own_indexes(gateway: Neo4jGateway) -> Iterator[None]:
    """Indexes that the owner of the graph has on properties of their own."""
    for text in OWN_INDEXES:
        gateway.run(Query("tests/make", "", "schema", {}, {}, text))
    gateway.run(catalogue()["ingest/await_indexes"])
    yield
    for text in OWN_INDEXES.values():
        gateway.run(Query("tests/drop", "", "schema", {}, {}, text))


@pytest.mark.usefixtures("own_indexes")
@pytest.mark.parametrize(
    ("refused", "places"),
    [
        ({"url": TOO_LARGE}, ["url"]),
        ({"url": [SMALL_ENOUGH[:500]] * 30}, ["url"]),
        ({"note": TOO_LARGE}, ["note"]),
        ({"maker": TOO_LARGE, "odd name": 1}, ["maker", "odd name"]),
    ],
)
async def test_a_value_too_large_for_an_index_of_the_owner_is_refused_with_its_place(
    client: httpx.AsyncClient, gateway: Neo4jGateway, refused: dict[str, Any], places: list[str]
) -> None:
    good = {"url": SMALL_ENOUGH, "title": TOO_LARGE, "sku": 1}
    answers = await asyncio.gather(
        client.put("/v1/items/bad", json=refused), client.put("/v1/items/good", json=good)
    )
    assert [answer.status_code for answer in answers] == [422, 201]
    errors = answers[0].json()["errors"]
    assert [error["location"] for error in errors] == [["body", place] for place in places]
    assert all(TOO_LARGE_SAID in error["detail"] for error in errors)
    assert statement(gateway, "MATCH (i:Item) RETURN i.item_id AS id") == [{"id": "good"}]
    ready = (await client.get("/health/ready")).json()
    assert "writes" not in (ready.get("degraded") or ready.get("reasons"))


@pytest.mark.usefixtures("own_indexes")
async def test_a_value_that_a_constraint_of_the_owner_has_unique_is_refused_with_its_place(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.put("/v1/items/a", json={"sku": "one"})).status_code == 201
    refused = await client.put("/v1/items/b", json={"sku": "one"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["location"] == ["body", "sku"]
    assert "another node has this value" in refused.json()["detail"]
    assert (await client.get("/v1/items/b")).status_code == 404
