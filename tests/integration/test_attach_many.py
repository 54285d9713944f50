"""A made shop with several kinds of interactions, follows and conditions, refreshed as it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.extract import extract_graph
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.mapped import MappedGraph
from loaders.types import HeteroGraph
from recsvc.graph.store import Store
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from tests.mappings import MANY_WAYS
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

pytestmark = pytest.mark.neo4j

CUSTOMERS, PRODUCTS = 60, 40


@pytest.fixture(scope="module")
def shop(
    session_gateway: Neo4jGateway, neo4j_address: Neo4jAddress
) -> Iterator[tuple[Neo4jGateway, Neo4jAddress]]:
    """The shop, read by its mapping; ids are numbers, one customer is not active."""
    gateway, rng = session_gateway, np.random.default_rng(5)
    gateway.run(DELETE_ALL)
    people = [{"id": n, "name": f"C{n}", "active": n > 0} for n in range(CUSTOMERS)]
    goods = [{"id": n, "full name": f"P{n}", "price": float(n > 0)} for n in range(PRODUCTS)]
    statement(gateway, "UNWIND $rows AS row CREATE (n:Customer) SET n = row", rows=people)
    statement(gateway, "UNWIND $rows AS row CREATE (n:Product) SET n = row", rows=goods)
    tags = [{"id": n, "tag": f"t{n % 4}"} for n in range(PRODUCTS)]
    statement(
        gateway,
        "UNWIND $rows AS row MATCH (p:Product {id: row.id}) "
        "MERGE (t:Tag {name: row.tag}) "
        "CREATE (p)-[:TAGGED]->(t)",
        rows=tags,
    )
    orders: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    for customer in range(CUSTOMERS):
        liked = [n for n in range(PRODUCTS) if n % 4 == customer % 4]
        for _ in range(3):
            items = rng.choice(liked, 3, replace=False).tolist()
            orders.append({"id": customer, "items": items, "paid": bool(rng.random() < 0.9)})
        seen += [
            {"id": customer, "item": int(item), "kind": "view" if rng.random() < 0.7 else "click"}
            for item in rng.choice(PRODUCTS, 4, replace=False)
        ]
    statement(
        gateway,
        "UNWIND $rows AS row MATCH (c:Customer {id: row.id}) "
        "CREATE (c)-[:PURCHASED]->(o:Order {paid: row.paid}) WITH o, row "
        "UNWIND row.items AS item MATCH (p:Product {id: item}) "
        "CREATE (o)-[:ORDERS]->(p)",
        rows=orders,
    )
    statement(
        gateway,
        "UNWIND $rows AS row MATCH (c:Customer {id: row.id}) "
        "MATCH (p:Product {id: row.item}) CREATE (p)-[:VIEWED_BY {kind: row.kind}]->(c)",
        rows=seen,
    )
    known = [{"one": n, "two": n + 4} for n in range(CUSTOMERS - 4)]
    statement(
        gateway,
        "UNWIND $rows AS row MATCH (a:Customer {id: row.one}) "
        "MATCH (b:Customer {id: row.two}) CREATE (a)-[:KNOWS]->(b)",
        rows=known,
    )
    address = replace(neo4j_address, graph=MappedGraph(MANY_WAYS))
    with Neo4jGateway(address) as mapped:
        yield mapped, address


@pytest.fixture(scope="module")
def graph(shop: tuple[Neo4jGateway, Neo4jAddress]) -> HeteroGraph:
    return extract_graph(shop[0])


def test_what_is_extracted_meets_the_conditions(graph: HeteroGraph) -> None:
    assert set(graph.users) == {str(n) for n in range(1, CUSTOMERS)}
    assert set(graph.items) == {str(n) for n in range(1, PRODUCTS)}
    assert set(graph.interactions.events) == {"purchase", "view", "click"}
    did = graph.interactions
    triples = set(zip(did.user_index.tolist(), did.item_index.tolist(), did.event_index.tolist(),
                      strict=True))  # fmt: skip
    assert len(triples) == len(did)
    # The mapping gives KNOWS no direction, so each pair is there both ways.
    pairs = set(zip(graph.follows.source.tolist(), graph.follows.target.tolist(), strict=True))
    assert pairs == {(b, a) for a, b in pairs}
    assert len(pairs) == 2 * (CUSTOMERS - 5)


@pytest.mark.long
def test_a_refresh_finds_that_paths_add_up_to_rows(
    shop: tuple[Neo4jGateway, Neo4jAddress], tmp_path: Path
) -> None:
    options = RefreshOptions(models=("fastrp", "walk3"), validation_users=40)
    run = refresh(shop[0], options, load_settings().events, home=tmp_path)
    assert run.versions is not None
    assert run.versions["hybrid"] == 1


def test_what_is_exported_is_what_the_arrays_have(
    shop: tuple[Neo4jGateway, Neo4jAddress], graph: HeteroGraph
) -> None:
    async def read() -> list[dict[str, Any]]:
        store = Store(shop[1], timeout_seconds=120.0)
        await store.open()
        try:
            return [row async for page in store.section("5", "interactions") for row in page]
        finally:
            await store.close()

    exported, did = asyncio.run(read()), graph.interactions
    of = did.user_index == graph.users.row("5")
    stored = {
        (graph.items[i], did.events[e], w)
        for i, e, w in zip(did.item_index[of], did.event_index[of], did.weight[of], strict=True)
    }
    assert {(row["item_id"], row["event"], row["weight"]) for row in exported} == stored
    assert {name for row in exported for name in row} == {"event", "item_id", "title", "weight",
                                                          "last_at"}  # fmt: skip


def test_evidence_at_a_request_is_that_of_the_arrays(
    shop: tuple[Neo4jGateway, Neo4jAddress], graph: HeteroGraph
) -> None:
    async def read() -> Any:
        store = Store(shop[1], timeout_seconds=120.0)
        await store.open()
        try:
            return await store.user("5", limit=100)
        finally:
            await store.close()

    user = asyncio.run(read())
    row, did = graph.users.row("5"), graph.interactions
    of = did.user_index == row
    events = [did.events[e] for e in did.event_index[of].tolist()]
    items = [graph.items[i] for i in did.item_index[of].tolist()]
    stored = {(i, e): w for i, e, w in zip(items, events, did.weight[of].tolist(), strict=True)}
    assert {(item, event): weight for item, event, weight, _ in user.interactions} == stored
    assert {other for other, _, _ in user.follows} == {"1", "9"}
