"""The first writer makes the schema, also in a graph that has constraints of its owner."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import QueryError
from loaders.gateway import Neo4jAddress, Neo4jGateway, Row
from loaders.schema import apply_schema, schema_items
from loaders.types import EmbeddingTable, IdMap
from loaders.writeback import Version, write_vectors
from recsvc.graph.store import Store
from tests.conftest import on_later_lines_long, own_client, running_service
from tests.indexes import make_indexes

pytestmark = pytest.mark.neo4j

DROPS = Query(
    "tests/drops", "", "read", {}, {},
    """
    SHOW INDEXES YIELD name, owningConstraint, type WHERE type <> 'LOOKUP'
    RETURN name, owningConstraint AS constraint
    """,
)  # fmt: skip
COUNTS = Query(
    "tests/counts", "", "read", {}, {},
    """
    OPTIONAL MATCH (u:User) WITH count(u) AS users
    OPTIONAL MATCH (i:Item) WITH users, count(i) AS items
    OPTIONAL MATCH ()-[r:INTERACTED]->()
    RETURN users, items, sum(r.count) AS events
    """,
)  # fmt: skip


def ddl(gateway: Neo4jGateway, text: str) -> None:
    gateway.run(Query("tests/ddl", "", "schema", {}, {}, text))  # pyright: ignore[reportArgumentType]


@pytest.fixture
def bare(gateway: Neo4jGateway) -> Iterator[Neo4jGateway]:
    """An empty graph without any constraint or index; ours are there again afterwards."""

    def drop() -> None:
        for row in gateway.run(DROPS):
            kind = "CONSTRAINT" if row["constraint"] else "INDEX"
            ddl(gateway, f"DROP {kind} {row['name']}")

    drop()
    yield gateway
    gateway.run(Query("tests/empty", "", "write", {}, {}, "MATCH (n) DETACH DELETE n"))
    drop()
    make_indexes(gateway)


def indexes(gateway: Neo4jGateway) -> list[Row]:
    return gateway.run(catalogue()["ingest/indexes"])


def test_every_file_of_the_schema_is_made_and_found_under_our_prefix(bare: Neo4jGateway) -> None:
    apply_schema(bare)
    names = {row["name"] for row in indexes(bare)}
    assert names == {item.name for item in schema_items()}
    assert all(name.startswith("recsvc_") for name in names)


@on_later_lines_long
def test_several_at_once_make_it_once(bare: Neo4jGateway) -> None:
    together = threading.Barrier(4)

    def make(_number: int) -> None:
        with Neo4jGateway(bare.address) as gateway:
            together.wait()
            apply_schema(gateway)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
    assert len(indexes(bare)) == len(schema_items())


@on_later_lines_long
async def test_names_of_others_are_left_and_ours_are_made_beside_them(bare: Neo4jGateway) -> None:
    """Also the names that ours had once."""
    ddl(bare, "CREATE CONSTRAINT user_id FOR (c:Customer) REQUIRE c.user_id IS UNIQUE")
    ddl(bare, "CREATE FULLTEXT INDEX item_title FOR (p:Product) ON EACH [p.title]")
    apply_schema(bare)
    found = {row["name"]: (row["labels"], row["properties"]) for row in indexes(bare)}
    assert found["user_id"] == (["Customer"], ["user_id"])
    assert found["recsvc_user_id"] == (["User"], ["user_id"])
    assert found["recsvc_item_title"] == (["Item"], ["title"])
    bare.run(
        Query(
            "tests/made", "", "write", {}, {},
            "CREATE (:Product {title: 'Blue Monday'}), (:Item {item_id: 'b', title: 'Blue Train'})",
        )
    )  # fmt: skip
    assert await found_by_title(bare.address) == ["b"]


@on_later_lines_long
async def test_a_graph_with_the_names_from_before_is_searched_by_them(bare: Neo4jGateway) -> None:
    ddl(bare, "CREATE CONSTRAINT user_id FOR (u:User) REQUIRE u.user_id IS UNIQUE")
    ddl(
        bare,
        "CREATE FULLTEXT INDEX item_title FOR (i:Item) ON EACH [i.title] "
        "OPTIONS {indexConfig: {`fulltext.analyzer`: 'standard-folding'}}",
    )
    assert apply_schema(bare)["recsvc_item_title"] == "item_title"
    assert {"user_id", "item_title"} <= {row["name"] for row in indexes(bare)}
    assert len(indexes(bare)) == len(schema_items())
    text = "CREATE (:Item {item_id: 'b', title: 'Blue Train'})"
    bare.run(Query("tests/made", "", "write", {}, {}, text))
    assert await found_by_title(bare.address) == ["b"]


async def found_by_title(address: Neo4jAddress) -> list[str]:
    store = Store(address, timeout_seconds=120.0)
    await store.open()
    try:
        return [row["id"] for row in await store.find("item", "blue", 10)]
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "CREATE INDEX ours FOR (u:User) ON (u.user_id)",
            r"constraint on :User\(user_id\) cannot be made: the index ours .* DROP INDEX ours",
        ),
        (
            "CREATE CONSTRAINT recsvc_user_id FOR (c:Customer) REQUIRE c.id IS UNIQUE",
            r"there is another constraint recsvc_user_id on :Customer\(id\): give that one another",
        ),
    ],
)
def test_what_is_in_the_way_is_said_with_what_to_do(
    bare: Neo4jGateway, before: str, said: str
) -> None:
    ddl(bare, before)
    with pytest.raises(QueryError, match=said) as caught:
        apply_schema(bare)
    assert "\n" not in str(caught.value)


def test_nodes_that_are_there_twice_are_said_with_how_to_find_them(bare: Neo4jGateway) -> None:
    text = "CREATE (:User {user_id: 'a'}), (:User {user_id: 'a'})"
    bare.run(Query("tests/twice", "", "write", {}, {}, text))
    with pytest.raises(QueryError, match=r"MATCH \(n:User\) WHERE n\.user_id") as caught:
        apply_schema(bare)
    query = str(caught.value).partition("MATCH")[2].partition(" finds them")[0]
    found = bare.run(Query("tests/find", "", "read", {}, {}, f"MATCH{query}"))  # pyright: ignore[reportArgumentType]
    assert len(found[0]["nodes"]) == 2


@on_later_lines_long
def test_services_on_an_empty_neo4j_count_each_event_once(
    bare: Neo4jGateway, environment: dict[str, str], tmp_path: Path
) -> None:
    """Two processes, no `ingest` ever, and many posts of the same events at once."""
    events = [{"event_id": f"e{n}", "user_id": f"u{n % 3}", "item_id": "i"} for n in range(10)]
    with ExitStack() as running:
        services = [
            running.enter_context(
                running_service(environment, tmp_path / f"{number}.log", until="/health/live")
            )
            for number in range(2)
        ]

        def post(number: int) -> int:
            with own_client(services[number % 2]) as client:
                return client.post("/v1/events", json={"events": events}).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(post, range(40))) == {200}
        assert services[0].client.get("/v1/items?search=nothing").status_code == 200
    assert bare.run(COUNTS) == [{"users": 3, "items": 1, "events": 10}]
    assert len(indexes(bare)) == len(schema_items())


VECTORS = "OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine'}}"


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            f"CREATE VECTOR INDEX item_embedding_mf_a FOR (p:Product) ON (p.vector) {VECTORS}",
            r"there is another index item_embedding_mf_a on :Product\(vector\): .* another name",
        ),
        (
            f"CREATE VECTOR INDEX mine FOR (i:Item) ON (i.embedding_mf_a) {VECTORS}",
            r"the index on :Item\(embedding_mf_a\) cannot be made: .* DROP INDEX mine",
        ),
    ],
)
def test_a_vector_index_of_another_is_not_taken_for_ours(
    bare: Neo4jGateway, before: str, said: str
) -> None:
    """Neo4j makes none then, and says nothing: queries would read the other one, or fail."""
    apply_schema(bare)
    ddl(bare, before)
    table = EmbeddingTable("Item", IdMap(["a"]), np.ones((1, 4), np.float32))
    version = Version("mf", 1, "a")
    with pytest.raises(QueryError, match=said):
        write_vectors(bare, version, table)
    ddl(bare, f"DROP INDEX {'mine' if 'mine' in before else 'item_embedding_mf_a'}")
    for _ in range(2):
        write_vectors(bare, version, table)
    vector = {row["name"]: row for row in indexes(bare) if row["type"] == "VECTOR"}
    assert vector["item_embedding_mf_a"]["labels"] == ["Item"]
