"""The graph of a real Neo4j as arrays: whole, in part and in every form."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest

from loaders.extract import (
    Selection,
    extract_graph,
    extract_to_folder,
    to_networkx,
)
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.schema import apply_schema
from loaders.tables import FolderTables
from loaders.types import HeteroGraph, PropertyNames
from tests.faults.small_disk import largest_file
from tests.statement import statement

pytestmark = pytest.mark.neo4j

# Neo4j sorts text by UTF-16 units: the emoji before the full-width letter, unlike code points.
EMOJI, WIDE = "\U0001f600", "\uff21"


def at(day: int) -> datetime:
    return datetime(2020, 1, day, tzinfo=UTC)


@pytest.fixture
def graph(gateway: Neo4jGateway) -> Neo4jGateway:
    """Every relationship type, several events of one pair, times with offsets, missing weights."""
    apply_schema(gateway)
    statement(
        gateway,
        """
        UNWIND [$emoji, $wide, 'u3', 'lonely'] AS id CREATE (:User {user_id: id})
        WITH count(*) AS made
        UNWIND ['i1', 'i2', 'i3', 'i4', $wide, $emoji] AS id CREATE (:Item {item_id: id})
        WITH count(*) AS made
        UNWIND ['c1', 'c2', 'c3'] AS id CREATE (:Category {category_id: id})
        WITH count(*) AS made
        MATCH (a:User {user_id: $emoji}), (b:User {user_id: $wide}), (c:User {user_id: 'u3'}),
          (one:Item {item_id: 'i1'}), (two:Item {item_id: 'i2'}), (three:Item {item_id: 'i3'}),
          (four:Item {item_id: 'i4'}), (x:Category {category_id: 'c1'}),
          (y:Category {category_id: 'c2'}), (z:Category {category_id: 'c3'})
        CREATE (a)-[:INTERACTED {event: 'view', weight: 3.5, count: 4,
            first_at: datetime('2020-01-02T00:00Z'),
            last_at: datetime('2020-01-10T02:00+02:00')}]->(one),
          (a)-[:INTERACTED {event: 'buy', weight: 1, first_at: datetime('2020-01-05T00:00Z'),
            last_at: datetime('2020-01-05T00:00Z')}]->(one),
          (b)-[:INTERACTED {event: 'view'}]->(two),
          (b)-[:INTERACTED {event: 'view', weight: -0.25, first_at: datetime('2020-01-20T00:00Z'),
            last_at: datetime('2020-01-20T00:00Z')}]->(one),
          (c)-[:INTERACTED {event: 'view', weight: 2.0, first_at: datetime('2020-01-03T00:00Z'),
            last_at: datetime('2020-01-03T00:00Z')}]->(three),
          (a)-[:FOLLOWS {since: datetime('2020-01-08T00:00Z')}]->(b), (b)-[:FOLLOWS]->(c),
          (c)-[:PREFERS {weight: 0.5}]->(y), (one)-[:IN_CATEGORY {weight: 2.0}]->(x),
          (four)-[:IN_CATEGORY]->(z), (x)-[:SUBCATEGORY_OF]->(y),
          (one)-[:RELATED_TO {kind: 'also_bought', weight: 1.5}]->(two),
          (one)-[:RELATED_TO {kind: 'also_viewed', weight: 2.0}]->(two),
          (two)-[:RELATED_TO {kind: 'also_viewed'}]->(three)
        SET two.created_at = datetime('2020-01-15T00:00Z')
        """,
        emoji=EMOJI, wide=WIDE,
    )  # fmt: skip
    return gateway


def did(graph: HeteroGraph) -> list[tuple[Any, ...]]:
    n = graph.interactions
    columns = (n.user_index, n.item_index, n.event_index, n.weight, n.last_at)
    return [
        (graph.users[u], graph.items[i], n.events[e], w, None if np.isnan(t) else t)
        for u, i, e, w, t in zip(*(column.tolist() for column in columns), strict=True)
    ]


def links(graph: HeteroGraph, name: str) -> list[tuple[int, int, float]]:
    edges = getattr(graph, name)
    return list(zip(edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(),
                    strict=True))  # fmt: skip


def same(one: HeteroGraph, other: HeteroGraph) -> bool:
    assert did(one) == did(other)
    assert one.interactions.events == other.interactions.events
    for field in fields(HeteroGraph):
        if field.name in ("users", "items", "categories"):
            assert getattr(one, field.name) == getattr(other, field.name)
        elif field.name not in ("interactions", "item_properties", "content"):
            assert links(one, field.name) == links(other, field.name)
    return True


def test_whole_graph_in_the_order_of_code_points(graph: Neo4jGateway) -> None:
    extracted = extract_graph(graph)
    assert list(extracted.users) == ["lonely", "u3", WIDE, EMOJI]
    assert list(extracted.items) == ["i1", "i2", "i3", "i4", WIDE, EMOJI]
    assert did(extracted) == [
        ("u3", "i3", "view", 2.0, at(3).timestamp()),
        (WIDE, "i1", "view", -0.25, at(20).timestamp()),
        (WIDE, "i2", "view", 1.0, None),
        (EMOJI, "i1", "buy", 1.0, at(5).timestamp()),
        (EMOJI, "i1", "view", 3.5, at(10).timestamp()),
    ]
    assert links(extracted, "follows") == [(2, 1, 1.0), (3, 2, 1.0)]
    assert links(extracted, "prefers") == [(1, 1, 0.5)]
    assert links(extracted, "in_category") == [(0, 0, 2.0), (3, 2, 1.0)]
    assert links(extracted, "subcategory_of") == [(0, 1, 1.0)]
    assert links(extracted, "related_to") == [(0, 1, 3.5), (1, 2, 1.0)]


def test_properties_are_numbers_and_all_else_is_missing(graph: Neo4jGateway) -> None:
    statement(
        graph,
        """
        MATCH (:User {user_id: $emoji})-[buy:INTERACTED {event: 'buy'}]->(one:Item),
          (:User {user_id: 'u3'})-[view:INTERACTED]->(three:Item), (four:Item {item_id: 'i4'}),
          (two:Item {item_id: 'i2'})
        SET buy.verified = true, buy.votes = '7', view.verified = 'False', view.votes = 'many',
          one.price = 12.5, one.vector = [1, 2, 3], one.new = true, three.vector = [0.5, 0.25, 4.0],
          four.vector = [9.0], four.price = [], three.price = date(), three.new = 'yes',
          two.vector = ['a', 'b', 'c'], two.price = 1e10
        """,
        emoji=EMOJI,
    )
    names = PropertyNames(("verified", "votes", "none"), ("price", "vector", "new"))
    extracted = extract_graph(graph, properties=names)
    did_with = dict(zip([row[:3] for row in did(extracted)], range(5), strict=True))
    of = {n: values[:, 0] for n, values in extracted.interactions.properties.items()}
    bought, viewed = did_with[EMOJI, "i1", "buy"], did_with["u3", "i3", "view"]
    assert (of["verified"][bought], of["verified"][viewed], of["votes"][bought]) == (1, 0, 7)
    assert np.isnan(of["votes"]).sum() == 4
    assert np.isnan(of["none"]).all()
    items = dict(zip(extracted.items, range(len(extracted.items)), strict=True))
    price, vector, new = (extracted.item_properties[n] for n in names.items)
    assert price[items["i1"]] == 12.5
    assert np.isnan(price).sum() == len(items) - 1
    assert vector.shape == (len(items), 3)
    assert vector[[items["i1"], items["i3"]]].tolist() == [[1, 2, 3], [0.5, 0.25, 4]]
    assert np.isfinite(vector).all(axis=1).sum() == 2
    assert new[items["i1"]] == 1
    kept = extract_graph(graph, properties=names, selection=Selection(users=["u3"]))
    assert kept.interactions.properties["verified"].tolist() == [[0]]
    assert kept.item_properties["vector"].shape == (len(kept.items), 3)


def test_an_empty_graph(gateway: Neo4jGateway) -> None:
    found = extract_graph(gateway)
    assert (len(found.users), len(found.interactions), len(found.follows)) == (0, 0, 0)


def test_until_keeps_nothing_of_the_future(graph: Neo4jGateway) -> None:
    extracted = extract_graph(graph, selection=Selection(until=at(9)))
    assert did(extracted) == [
        ("u3", "i3", "view", 2.0, at(3).timestamp()),
        (EMOJI, "i1", "buy", 1.0, at(5).timestamp()),
        # Three of its four events may be later: only the first is known.
        (EMOJI, "i1", "view", 1.0, at(2).timestamp()),
    ]
    assert "i2" not in extracted.items
    assert links(extracted, "related_to") == []
    assert len(extracted.follows) == 2
    earlier = extract_graph(graph, selection=Selection(until=at(8)))
    assert len(earlier.follows) == 1, "one began on the 8th"
    none = extract_graph(graph, selection=Selection(until=at(2)))
    assert did(none) == []


def test_until_is_the_same_however_the_graph_goes_on(graph: Neo4jGateway) -> None:
    selection = Selection(until=at(9))
    before = extract_graph(graph, selection=selection)
    statement(
        graph,
        "MATCH (u:User)-[r:INTERACTED {event: 'view'}]->(i:Item {item_id: 'i1'}) "
        "SET r.weight = r.weight + 10, r.last_at = datetime('2021-01-01T00:00Z') "
        "WITH DISTINCT i MATCH (v:User {user_id: 'lonely'}) CREATE (v)-[:INTERACTED {event: 'new',"
        " weight: 1.0, first_at: datetime('2021-01-01T00:00Z'),"
        " last_at: datetime('2021-01-01T00:00Z')}]->(i)",
    )
    assert same(extract_graph(graph, selection=selection), before)


def test_since_keeps_what_went_on_then(graph: Neo4jGateway) -> None:
    found = extract_graph(graph, selection=Selection(since=at(10)))
    assert [row[:3] for row in did(found)] == [(WIDE, "i1", "view"), (EMOJI, "i1", "view")]
    window = extract_graph(graph, selection=Selection(since=at(4), until=at(9)))
    assert [row[:3] for row in did(window)] == [(EMOJI, "i1", "buy")]


def test_labels_and_types(graph: Neo4jGateway) -> None:
    found = extract_graph(graph, selection=Selection(labels=["Item", "Category"]))
    assert len(found.users) == len(found.interactions) == len(found.prefers) == 0
    assert len(found.in_category) == 2
    found = extract_graph(graph, selection=Selection(types=["FOLLOWS"]))
    assert len(found.items) == 6
    assert (len(found.follows), len(found.interactions), len(found.related_to)) == (2, 0, 0)


def test_community_of_users(graph: Neo4jGateway) -> None:
    found = extract_graph(graph, selection=Selection(users=[EMOJI, "u3", "nobody"]))
    assert list(found.users) == ["u3", EMOJI]
    assert list(found.items) == ["i1", "i3"]
    assert list(found.categories) == ["c1", "c2"], "of i1, its parent, and what u3 prefers"
    assert len(did(found)) == 3
    assert len(found.follows) == 0


def test_k_core(graph: Neo4jGateway) -> None:
    statement(graph, "MATCH (u:User {user_id: $emoji}), (i:Item {item_id: 'i2'}) "
        "CREATE (u)-[:INTERACTED {event: 'view', weight: 1.0}]->(i)", emoji=EMOJI)  # fmt: skip
    found = extract_graph(graph, selection=Selection(k_core=2))
    assert (list(found.users), list(found.items)) == ([WIDE, EMOJI], ["i1", "i2"])
    assert len(found.categories) == 3
    assert len(did(found)) == 5


# Importing torch_geometric calls what torch has deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
@pytest.mark.parametrize("form", ["npz", "hetero", "networkx", "parquet"])
def test_files_hold_the_graph(graph: Neo4jGateway, tmp_path: Path, form: Any) -> None:
    whole = extract_graph(graph)
    saved = extract_to_folder(graph, tmp_path / "out", form=form)
    assert saved.relationships["INTERACTED"] == 5
    assert saved.relationships["RELATED_TO"] == 2
    assert saved.nodes == {"users": 4, "items": 6, "categories": 3}
    folder = saved.folder
    if form != "parquet":
        assert pl.read_csv(folder / "users.csv")["id"].to_list() == list(whole.users)
    if form == "npz":
        arrays = np.load(folder / "graph.npz", allow_pickle=False)
        np.testing.assert_array_equal(arrays["interactions_last_at"], whole.interactions.last_at)
        np.testing.assert_array_equal(arrays["related_to_weight"], whole.related_to.weight)
    elif form == "networkx":
        text = (folder / "graph.json").read_text(encoding="utf-8")
        found = nx.node_link_graph(json.loads(text), edges="edges")
        expected = to_networkx(whole)
        assert dict(found.nodes) == dict(expected.nodes)
        assert dict(found.edges) == dict(expected.edges)
        assert found.edges[("User", EMOJI), ("Item", "i1"), "INTERACTED view"]["weight"] == 3.5
    elif form == "hetero":
        torch = pytest.importorskip("torch")
        from torch_geometric.data import HeteroData

        data = HeteroData.from_dict(torch.load(folder / "graph.pt", weights_only=True))
        assert data["User"].num_nodes == 4
        store = data["User", "INTERACTED", "Item"]
        np.testing.assert_array_equal(store.edge_index[0], whole.interactions.user_index)
        np.testing.assert_array_equal(store.edge_weight, whole.interactions.weight)
        assert data["Item", "RELATED_TO", "Item"].edge_index.tolist() == [[0, 1], [1, 2]]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
@pytest.mark.parametrize("form", ["npz", "hetero", "networkx", "parquet"])
def test_a_full_disk_leaves_what_was_there(graph: Neo4jGateway, tmp_path: Path, form: Any) -> None:
    """Neither a part of the files, nor a folder that was not there before."""
    old = tmp_path / "old"
    extract_to_folder(graph, old, form=form)
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    statement(graph, "CREATE (:User {user_id: 'new'})")
    largest = max(map(len, before.values()))
    for size in (0, largest // 2, largest - 1):
        for folder in (old, tmp_path / "new"):
            with largest_file(size), pytest.raises(OSError, match="File too large") as refused:
                extract_to_folder(graph, folder, form=form)
            assert str(folder) in str(refused.value.filename)
        assert [path.name for path in tmp_path.iterdir()] == ["old"]
        assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    extract_to_folder(graph, old, form=form)
    assert {path.name: path.read_bytes() for path in old.iterdir()}.keys() == before.keys()
    assert {path.name: path.read_bytes() for path in old.iterdir()} != before


def test_no_such_form(graph: Neo4jGateway, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no form 'xml': expected one of npz, parquet"):
        extract_to_folder(graph, tmp_path, form="xml")


def test_parquet_is_ingested_again(graph: Neo4jGateway, tmp_path: Path) -> None:
    before = extract_graph(graph)
    extract_to_folder(graph, tmp_path, form="parquet")
    statement(graph, "MATCH (n) DETACH DELETE n")
    ingest(graph, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv", strict=True)
    assert same(extract_graph(graph), before)


def test_no_relationship_is_taken_for_one_of_another_node(gateway: Neo4jGateway) -> None:
    """Nodes come and go while the graph is read, and the database uses internal ids again."""
    apply_schema(gateway)
    churn = (
        "UNWIND range(0, 49) AS n MATCH (u:User {user_id: $kind + n})-[:INTERACTED]->(i:Item) "
        "DETACH DELETE u, i"
    )
    make = (
        "UNWIND range(0, 49) AS n CREATE (:User {user_id: $kind + n})"
        "-[:INTERACTED {event: 'e', weight: 1.0}]->(:Item {item_id: $kind + n})"
    )
    statement(gateway, make, kind="z")
    over, rounds = False, 0

    def come_and_go() -> None:
        nonlocal rounds
        while not over:
            kind = "abcdefgh"[rounds % 8]
            statement(gateway, make, kind=kind)
            statement(gateway, churn, kind=kind)
            rounds += 1

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come_and_go)
        try:
            for number in itertools.count():
                if coming.done() or (number >= 40 and rounds > 10):
                    break
                rows = did(extract_graph(gateway))
                assert all(user == item for user, item, *_ in rows)
                assert sum(user.startswith("z") for user, *_ in rows) == 50
        finally:
            over = True
        coming.result()
