"""What is written over HTTP into the graph of somebody else, by what the mapping says."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from loaders.detach import remove_ours
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.graph_map import GraphMap
from loaders.mapped import MappedGraph
from recsvc.graph.pasteable_cypher import pasteable, path_parameters
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.settings import load_settings
from tests.indexes import make_indexes
from tests.integration.in_process import client_of
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

pytestmark = pytest.mark.neo4j

FILMS: dict[str, Any] = {
    "writes": "all",
    "user": {"label": "Person", "id": "personId", "title": "full`name", "where": "user.kind = 'm'"},
    "item": {"label": "Film", "id": "filmId", "title": "label", "available": "item.`on` = true"},
    "category": {"genre": {"label": "Genre", "id": "name"}},
    "interactions": [
        {"path": "(user)-[r:RATED]->(item)", "event": "rating", "value": "r.stars - 3",
         "timestamp": "r.at", "where": "r.source = 'web'"},
        {"path": "(user)<-[seen:`SEEN BY`]-(item)", "event": "seen.how"},
        {"path": "(user)-[:PLACED]->(o:Order)-[:OF]->(item)", "event": "purchase"},
    ],
    "follows": [{"path": "(user)-[k:KNOWS]->(other)", "timestamp": "k.since"}],
    "item_categories": [{"path": "(item)-[:IN_GENRE]->(category)"}],
}  # fmt: skip
"""Names that have to be quoted are spelt as `[graph]` takes them."""


@pytest.fixture(scope="module")
def films(session_gateway: Neo4jGateway) -> Iterator[Neo4jGateway]:
    session_gateway.run(DELETE_ALL)
    statement(
        session_gateway,
        "CREATE (a:Person {personId: 1, kind: 'm', `full``name`: 'Ann', email: 'a@x.org'}), "
        "(b:Person {personId: 2, kind: 'm'}), (:Person {personId: 3, kind: 'other'}), "
        "(f:Film {filmId: 'f1', label: 'One', on: true, year: 1999})-[:IN_GENRE {by: 'x'}]->"
        "(:Genre {name: 'Drama'}), (f)-[:IN_GENRE]->(:Genre {name: 'Noir'}), "
        "(a)-[:RATED {stars: 4, at: 1700000000, source: 'web'}]->(f)",
    )
    statement(
        session_gateway, "CREATE CONSTRAINT film_mail FOR (n:Person) REQUIRE n.email IS UNIQUE"
    )
    statement(
        session_gateway, "CREATE CONSTRAINT film_at FOR ()-[r:RATED]-() REQUIRE r.at IS UNIQUE"
    )
    yield session_gateway
    statement(session_gateway, "DROP CONSTRAINT film_mail IF EXISTS")
    statement(session_gateway, "DROP CONSTRAINT film_at IF EXISTS")
    make_indexes(session_gateway)  # detaching took some away


async def serving(address: Neo4jAddress, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    engine = Engine(Store(address, timeout_seconds=120.0), snapshot_folder=folder,
                    events=load_settings().events, max_evidence=100)  # fmt: skip
    async with client_of(engine, folder) as client:
        yield client


@pytest.fixture
async def client(
    films: Neo4jGateway, neo4j_address: Neo4jAddress, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    address = replace(neo4j_address, graph=MappedGraph(GraphMap.model_validate(FILMS)))
    async for each in serving(address, tmp_path):
        yield each


async def rate(client: httpx.AsyncClient, user: str, item: str, **more: Any) -> httpx.Response:
    event = {"user_id": user, "item_id": item, "event": "rating"} | more
    return await client.post("/v1/events", json={"events": [event]})


async def test_an_event_is_a_relationship_of_the_owners_and_counts_once(
    client: httpx.AsyncClient, films: Neo4jGateway
) -> None:
    for new in (1, 0):
        answer = await rate(client, "2", "f2", event_id="e1", value=5, timestamp=1_780_000_000)
        assert answer.status_code == 200, answer.text
        assert answer.json()["new"] == new
    (row,) = statement(
        films,
        "MATCH (a:Person {personId: 2})-[r:RATED]->(f:Film {filmId: 'f2'}) "
        "RETURN properties(r) AS r, properties(f) AS f",
    )
    # Whole, as the owner's values and times are.
    assert row["r"] == {"stars": 5, "at": 1_780_000_000, "source": "web"}
    assert row["f"] == {"filmId": "f2"}
    answer = await rate(client, "2", "f2", event="peek")
    assert answer.json()["new"] == 1
    (row,) = statement(films, "MATCH (:Person)<-[r:`SEEN BY`]-(:Film) RETURN properties(r) AS r")
    assert row["r"] == {"how": "peek"}


REFUSED = (
    ({"event": "purchase"}, 409, "the path has 2 relationships"),
    ({"event": "peek", "value": 2}, 409, "names no property for it"),
    ({"user": "3"}, 409, "is no user by `where`"),
    ({"user": "x1"}, 422, "ids of users are whole numbers in this graph"),
    ({"user": "01"}, 422, "ids of users are whole numbers in this graph"),
    ({"timestamp": 1_700_000_000}, 422, "a constraint of the graph on"),
)


async def test_what_cannot_be_written_is_refused_with_why(
    client: httpx.AsyncClient, films: Neo4jGateway
) -> None:
    count = "MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN count(DISTINCT n) + count(r) AS count"
    before = statement(films, count)
    for event, status, said in REFUSED:
        answer = await rate(client, **{"user": "2", "item": "f1", **event})
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert statement(films, count) == before


async def test_put_sets_what_is_given_under_the_owners_names(
    client: httpx.AsyncClient, films: Neo4jGateway
) -> None:
    assert (await client.put("/v1/users/10", json={"name": "Eve"})).status_code == 201
    body = {"name": "Anna", "personId": 99, "age": 7}
    assert (await client.put("/v1/users/1", json=body)).status_code == 200
    found = statement(films, "MATCH (n:Person) WHERE n.personId IN [1, 10] "
                      "RETURN properties(n) AS n ORDER BY n.personId")  # fmt: skip
    assert [row["n"] for row in found] == [
        {"personId": 1, "kind": "m", "full`name": "Anna", "email": "a@x.org", "age": 7},
        {"personId": 10, "kind": "m", "full`name": "Eve"},
    ]
    answer = await client.put("/v1/users/10", json={"email": "a@x.org"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == ["body", "email"]
    body = {"title": "Uno", "available": False, "categories": ["Drama", "New"]}
    assert (await client.put("/v1/items/f1", json=body)).status_code == 200
    (row,) = statement(
        films, "MATCH (n:Film {filmId: 'f1'}) RETURN properties(n) AS n, "
        "COLLECT { MATCH (n)-[r:IN_GENRE]->(g) RETURN [g.name, r.by] ORDER BY g.name } AS genres",
    )  # fmt: skip
    assert row["n"] == {"filmId": "f1", "label": "Uno", "on": False, "year": 1999}
    assert row["genres"] == [["Drama", "x"], ["New", None]]
    shown = (await client.get("/v1/items/f1")).json()
    assert shown["categories"][0]["category_id"] == "Drama"
    assert shown["title"] == shown["label"] == "Uno"
    answer = await client.put("/v1/categories/New", json={"name": "N", "parent_id": "Drama"})
    assert answer.status_code == 409
    assert (await client.put("/v1/categories/Odd", json={})).status_code == 201


async def test_follows_are_made_and_ended(client: httpx.AsyncClient, films: Neo4jGateway) -> None:
    at = "2026-01-02T00:00:00Z"
    assert (await client.put("/v1/users/1/follows/2", json={"since": at})).status_code == 201
    assert (await client.put("/v1/users/1/follows/2")).status_code == 200
    (row,) = statement(films, "MATCH (a)-[r:KNOWS]->(b) RETURN a.personId AS a, r.since AS at")
    assert (row["a"], str(row["at"])[:10]) == (1, "2026-01-02")
    assert (await client.put("/v1/users/1/follows/3")).status_code == 404
    assert (await client.delete("/v1/users/1/follows/2")).status_code == 204
    assert (await client.delete("/v1/users/1/follows/2")).status_code == 404
    assert statement(films, "MATCH ()-[r:KNOWS]->() RETURN r") == []


async def test_what_lies_between_on_a_path_is_not_left_behind(
    client: httpx.AsyncClient, films: Neo4jGateway
) -> None:
    answer = await client.delete("/v1/users/1")
    assert answer.status_code == 409
    assert "would be left" in answer.json()["detail"]
    assert (await client.put("/v1/categories/Gone", json={})).status_code == 201
    assert (await client.delete("/v1/categories/Gone")).status_code == 204
    assert (await client.delete("/v1/categories/Gone")).status_code == 404


async def test_ids_and_values_from_outside_are_values(
    client: httpx.AsyncClient, films: Neo4jGateway
) -> None:
    for item in ("x" * 512, "'}) DETACH DELETE n //", "`) MATCH (n) DETACH DELETE n //", "\\u0060"):
        assert (await client.put(f"/v1/items/{quote(item, safe='')}", json={"title": item,
                "a`b": item})).status_code == 201  # fmt: skip
        (row,) = statement(films, "MATCH (n:Film {filmId: $id}) RETURN n.label AS t, n.`a``b` AS b",
                           id=item)  # fmt: skip
        assert row == {"t": item, "b": item}
    assert statement(films, "MATCH (n:Person {personId: 1}) RETURN count(n) AS n") == [{"n": 1}]


async def test_with_other_writes_nothing_of_the_owners_is_written(
    films: Neo4jGateway, neo4j_address: Neo4jAddress, tmp_path: Path
) -> None:
    mapped = MappedGraph(GraphMap.model_validate(FILMS | {"writes": "own"}))
    async for client in serving(replace(neo4j_address, graph=mapped), tmp_path):
        answer = await rate(client, "2", "f1")
        assert answer.status_code == 409
        assert 'writes = "all"' in answer.json()["detail"]
        assert (await client.delete("/v1/users/2")).status_code == 409


async def test_detach_leaves_what_is_the_owners(
    client: httpx.AsyncClient, films: Neo4jGateway, neo4j_address: Neo4jAddress
) -> None:
    assert (await rate(client, "1", "f9", event_id="last", value=4.5)).json()["new"] == 1
    assert statement(films, "MATCH (n:recsvc_Event) RETURN count(n) > 0 AS any") == [{"any": True}]
    address = replace(neo4j_address, graph=MappedGraph(GraphMap.model_validate(FILMS)))
    with Neo4jGateway(address) as gateway:
        remove_ours(gateway)
    labels = statement(
        films, "MATCH (n) UNWIND labels(n) AS label RETURN DISTINCT label ORDER BY label"
    )
    assert [row["label"] for row in labels] == ["Film", "Genre", "Person"]
    named = "SHOW INDEXES YIELD name WHERE name STARTS WITH 'recsvc_own_' RETURN name"
    assert statement(films, named) == []
    (row,) = statement(films, "MATCH (:Film {filmId: 'f9'})<-[r:RATED]-() RETURN r.stars AS stars")
    assert row["stars"] == 4.5


HOSTILE = ("a`b x]->() DETACH DELETE n //", "it's \" US$limit } RETURN 1 //", "MATCH", "é²")


@pytest.mark.parametrize("names", [HOSTILE[:1], pytest.param(HOSTILE, marks=pytest.mark.long)])
async def test_names_of_a_mapping_are_names(
    films: Neo4jGateway, neo4j_address: Neo4jAddress, names: tuple[str, ...]
) -> None:
    films.run(DELETE_ALL)
    for number, name in enumerate(names):
        node = {"id": name, "title": f"{name} t", "where": "{}.ok = '} RETURN 1'"}
        graph = GraphMap.model_validate({
            "writes": "all",
            "user": {**node, "label": f"U{name}", "where": node["where"].replace("{}", "user")},
            "item": {**node, "label": f"I{name}", "where": node["where"].replace("{}", "item")},
            "interactions": [{"path": f"(user)-[:{back_ticked(name)}]->(item)", "event": name}],
        })  # fmt: skip
        mapped = MappedGraph(graph)
        store = Store(replace(neo4j_address, graph=mapped), timeout_seconds=120.0)
        await store.open()
        try:
            event = {
                "event_id": f"{number}", "user_id": name, "item_id": f"i{name}", "event": name,
                "value": None, "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
            }  # fmt: skip
            assert await store.add_events([event]) == [f"{number}"]
            user = await store.user(name, limit=10)
        finally:
            await store.close()
        assert [(item, kind) for item, kind, *_ in user.interactions] == [(f"i{name}", name)]
        shown = pasteable("item_user_item", path_parameters([(name, name)], name, [name], limit=1),
                          mapped)  # fmt: skip
        assert statement(films, shown) == []
    assert statement(films, "MATCH (n) WHERE n.ok = '} RETURN 1' RETURN count(n) AS n") == [
        {"n": 2 * len(names)}
    ]


def back_ticked(name: str) -> str:
    """A type as a path takes it: with one back-tick at each end, and none within."""
    return f"`{name.replace('`', '')}`"
