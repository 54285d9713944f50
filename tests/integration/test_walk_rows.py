"""What a meta-path declares gives exactly the rows that its Cypher gives."""

from pathlib import Path

import numpy as np
import pytest

from loaders.catalogue import Query, catalogue
from loaders.extract import extract_graph, metapath_rows
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.schema import apply_schema
from loaders.tables import FolderTables
from loaders.types import HeteroGraph, IdMap
from recsvc.signals.rows import truncate_rows
from recsvc.signals.walk import walk_rows
from tests.odd_shop import odd_shop

pytestmark = pytest.mark.neo4j

DECLARED = [q for q in catalogue().folder("metapaths") if q.walk is not None]
ODD = [
    "01",
    "1",
    "1.0",
    "\u00dcnal",
    "U\u0308nal",
    "שלום",
    "\ufb33",
    "\uffee",
    "\U0001f600",
    "a b",
    "A",
    "z" * 99,
    "..",
]
KINDS = ("cart", "purchase", "view")
NODES = Query(
    "tests/nodes", "", "write", {"users": "any", "items": "any", "categories": "any"}, {},
    "FOREACH (id IN $users | CREATE (:User {user_id: id})) "
    "FOREACH (id IN $items | CREATE (:Item {item_id: id})) "
    "FOREACH (id IN $categories | CREATE (:Category {category_id: id}))",
)  # fmt: skip
# Several relationships of one kind between two nodes, as only a foreign writer makes them.
DID = Query(
    "tests/did", "", "write", {"rows": "any"}, {},
    "UNWIND $rows AS row MATCH (u:User {user_id: row[0]}) MATCH (i:Item {item_id: row[1]}) "
    "CREATE (u)-[r:INTERACTED {event: row[2]}]->(i) SET r.weight = row[3]",
)  # fmt: skip
IN = Query(
    "tests/in", "", "write", {"rows": "any"}, {},
    "UNWIND $rows AS row MATCH (i:Item {item_id: row[0]}) MATCH (c:Category {category_id: row[1]}) "
    "CREATE (i)-[r:IN_CATEGORY]->(c) SET r.weight = row[2]",
)  # fmt: skip
BELOW = Query(
    "tests/below", "", "write", {"rows": "any"}, {},
    "UNWIND $rows AS row MATCH (a:Category {category_id: row[0]}) "
    "MATCH (b:Category {category_id: row[1]}) CREATE (a)-[:SUBCATEGORY_OF]->(b)",
)  # fmt: skip


def _weights(rng: np.random.Generator, count: int) -> list[float | int | None]:
    """Ties, null, below 0, whole numbers, and some that differ by less than a float32 tells."""
    near = 3.0 + 1e-9 * rng.integers(0, 5, count)
    kinds = [near, rng.integers(-2, 4, count).astype(float), rng.normal(size=count)]
    chosen = np.choose(rng.integers(0, 3, count), kinds).tolist()
    return [
        None if rng.random() < 0.1 else int(w) if w == int(w) and rng.random() < 0.5 else w
        for w in chosen
    ]


def _random_graph(gateway: Neo4jGateway, seed: int) -> None:
    """With hubs past every cap: users of 380 items, items of 190 users, categories of 380 items."""
    rng = np.random.default_rng(seed)
    users, items = [
        [*ODD, *(f"{kind}{n}" for n in range(size))] for kind, size in (("u", 190), ("i", 380))
    ]
    categories = [*ODD, *(f"c{n}" for n in range(60))]
    gateway.run(NODES, users=users, items=items, categories=categories)
    did = [(u, i) for u in (users[5], users[30]) for i in items]
    did += [(u, i) for i in (items[7], items[40]) for u in users]
    did += [(u, i) for u in users for i in rng.choice(items, 6).tolist()]
    events = rng.choice(["view", "cart", "return"], len(did), p=[0.45, 0.45, 0.1]).tolist()
    gateway.run(
        DID, rows=[[*p, e, w] for p, e, w in zip(did, events, _weights(rng, len(did)), strict=True)]
    )
    linked = [(i, c) for c in (categories[3], categories[20]) for i in items]
    linked += [(i, c) for i in (items[9], items[50]) for c in categories]
    linked += [(i, c) for i in items for c in rng.choice(categories, 2).tolist()]
    gateway.run(IN, rows=[[*p, w] for p, w in zip(linked, _weights(rng, len(linked)), strict=True)])
    # Trees, several parents, a chain longer than ten, and circles.
    below = [rng.choice(categories, 2).tolist() for _ in range(25)]
    below += [[f"c{n}", f"c{n + 1}"] for n in range(14)]
    gateway.run(BELOW, rows=below)


def _check(gateway: Neo4jGateway, graph: HeteroGraph, query: Query, *, most: int = 0) -> None:
    name = query.name.removeprefix("metapaths/")
    assert query.walk is not None
    ids = {"User": graph.users, "Item": graph.items, "Category": graph.categories}
    evidence: IdMap = ids[query.walk.start]
    for size in (len(graph.items), 20):
        walked = walk_rows(query.walk, graph, KINDS, size).toarray()
        expected = metapath_rows(
            gateway, catalogue()[f"extract/metapath_rows[{name}]"], evidence, graph.items,
            lambda rows, n=size: truncate_rows(rows, n)[0], kinds=KINDS,
        ).toarray()  # fmt: skip
        assert np.count_nonzero(expected) > 100 or size == 20 or most
        np.testing.assert_array_equal(walked != 0, expected != 0)
        np.testing.assert_allclose(walked, expected, rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_rows_on_arrays_are_those_of_the_cypher_on_random_graphs(
    gateway: Neo4jGateway, seed: int
) -> None:
    apply_schema(gateway)
    _random_graph(gateway, seed)
    graph = extract_graph(gateway)
    did = graph.interactions
    speaks = did.take((did.weight > 0) & np.isin(np.array(did.events)[did.event_index], KINDS))
    people, items = np.unique([speaks.user_index, speaks.item_index], axis=1)
    assert np.bincount(items).max() > 100  # item_user_item
    assert np.bincount(people).max() > 200  # followed_user_item
    assert len(DECLARED) == 4
    for query in DECLARED:
        _check(gateway, graph, query)


def test_rows_on_arrays_are_those_of_the_cypher_on_the_odd_shop(
    gateway: Neo4jGateway, tmp_path: Path
) -> None:
    odd_shop(tmp_path / "shop", 0, "--clean")
    ingest(gateway, FolderTables(tmp_path / "shop"), rejects=tmp_path / "rejects.csv")
    graph = extract_graph(gateway)
    for query in DECLARED:
        _check(gateway, graph, query, most=1)


def test_nothing_is_lost_of_nodes_whose_ids_are_ordered_otherwise_in_utf_16(
    gateway: Neo4jGateway,
) -> None:
    """U+FB33 comes before U+1F600, and after the first half of its surrogate pair."""
    apply_schema(gateway)
    ids = ["a", "\ufb33", "\uffee", "\U0001f600"]
    gateway.run(NODES, users=ids, items=ids, categories=ids)
    gateway.run(DID, rows=[[one, one, "view", 1.0] for one in ids])
    gateway.run(IN, rows=[[one, one, 1.0] for one in ids])
    graph = extract_graph(gateway)
    assert len(graph.interactions) == len(graph.in_category) == 4
