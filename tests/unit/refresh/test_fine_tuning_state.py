"""What a refresh leaves for the next one: rows put where nodes are now, and nobody who is gone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import Blend
from recsvc.blend.parts import Learned, Validated
from recsvc.evaluation.metrics import Estimate
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh.fine_tuning_state import (
    FineTuningState,
    Start,
    digests_of,
    forget_node,
    keep_state,
    moved,
    read_state,
)
from recsvc.refresh.learning import same_rows
from recsvc.signals import RowSignal
from recsvc.snapshot.arrays import Snapshot

USERS, ITEMS = ("u1", "u3", "u5"), ("i1", "i3", "i5", "i7")
DID = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]], np.float32)  # nobody has i7


def graph_of(users: tuple[str, ...], items: tuple[str, ...], **edges: Edges) -> HeteroGraph:
    maps = IdMap(users), IdMap(items), IdMap(("c1", "c2"))
    return HeteroGraph(*maps, Interactions.empty(), **edges)


def made(**changes: object) -> FineTuningState:
    """Rows say which node they are of: 1 for u1, 2 for u3, … 4 for i1; that of i7 is 0."""
    rows = np.arange(1, 10, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32)
    rows[6] = 0.0
    learned = Learned(
        {"lightgcn": 1.0}, {"lightgcn": 20}, {"hybrid": {"ndcg@20": Estimate(0.1, 0.0, 0.2)}},
        Validated(id_numbers(USERS), np.array([0.1, 0.2, 0.3]), np.arange(3)),
    )  # fmt: skip
    state = FineTuningState(
        IdMap(USERS), IdMap(ITEMS), IdMap(("c1", "c2")), sp.csr_matrix(DID),
        {"lightgcn": (rows[:7],), "node2vec": (rows, -rows)}, {"lightgcn": {"layers": 2}}, learned,
        {"FOLLOWS": "x"}, {"metapaths/a": "y"}, 0.01, 1,
    )  # fmt: skip
    return replace(state, **changes)


def first(table: np.ndarray) -> list[float]:
    return table[:, 0].tolist()


def test_rows_follow_their_nodes() -> None:
    """u0 and i2 came, u3 and i1 went; nobody is linked with those who came."""
    graph = graph_of(("u0", "u1", "u5"), ("i2", "i3", "i5", "i7"))
    (table,) = made().placed_tables("lightgcn", graph, sp.csr_matrix((3, 4), dtype=np.float32))
    nothing = np.nan
    np.testing.assert_array_equal(first(table), [nothing, 1, 3, nothing, 5, 6, nothing])
    centre, context = made().placed_tables("node2vec", graph, sp.csr_matrix((3, 4)))
    np.testing.assert_array_equal(first(centre), [nothing, 1, 3, nothing, 5, 6, nothing, 8, 9])
    np.testing.assert_array_equal(context, -centre)


def test_what_is_no_table_of_nodes_stays_as_it_is() -> None:
    network = np.arange(30, dtype=np.float32)
    rows = np.ones((7, 2), np.float32)
    state = made(tables={"graphsage": (rows, network)})
    graph = graph_of(("u1",), ("i1", "i3"))
    table, same = state.placed_tables("graphsage", graph, sp.csr_matrix((1, 2), dtype=np.float32))
    assert table.shape == (3, 2)
    np.testing.assert_array_equal(same, network)
    table, same = state.without("user", ["u1"]).tables["graphsage"]
    assert table.shape == (6, 2)
    np.testing.assert_array_equal(same, network)


def test_properties_that_are_learned_from_are_in_the_digest() -> None:
    graph = graph_of(USERS, ITEMS)
    priced, dearer = (
        replace(graph, item_properties={"price": np.full((4, 1), price, np.float32)})
        for price in (1.0, 2.0)
    )
    assert "properties" not in digests_of(graph)
    assert digests_of(priced)["properties"] != digests_of(dearer)["properties"]


def test_a_model_that_cannot_be_gone_on_with_has_no_tables() -> None:
    assert made().placed_tables("ridge", graph_of(USERS, ITEMS), sp.csr_matrix(DID)) == ()


def test_what_is_new_points_where_its_neighbourhood_does() -> None:
    """As long as rows of its kind are; i7 was there and nobody had it, so it is new too."""
    rows = np.array([[3, 0], [0, 3], [0, 3], [2, 0], [0, 2], [0, 2], [0, 0]], np.float32)
    state = made(tables={"lightgcn": (rows,)})
    graph = graph_of(("u1", "u3", "u5", "u6"), ITEMS)
    did = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]], np.float32)
    (table,) = state.placed_tables("lightgcn", graph, sp.csr_matrix(did))
    np.testing.assert_allclose(table[3], [3, 0])  # u6 shares i1 with u1 alone
    np.testing.assert_allclose(table[7], [2, 0])  # i7 shares u1 with i1 alone
    np.testing.assert_allclose(table[[0, 1, 2, 4, 5, 6]], rows[:6])


def test_what_came_and_went_is_counted() -> None:
    from recsvc.refresh.fine_tuning import changed_share

    graph = graph_of(("u0", "u1", "u3", "u5"), ITEMS)
    did = np.vstack([[0, 0, 0, 1], DID]).astype(np.float32)
    state = made()
    assert changed_share(state, graph, sp.csr_matrix(did)) == pytest.approx(1 / 5)
    did[1, 0] = 0.0
    evidence = sp.csr_matrix(did)
    evidence.eliminate_zeros()
    assert changed_share(state, graph, evidence) == pytest.approx(2 / 5)
    known = state.known_pairs(graph, evidence)
    assert known.tolist() == [False, True, True, True, True]


def test_moved_entries_keep_their_values() -> None:
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 3, (5, 6)).astype(np.float32)
    rows, columns = np.array([4, -1, 0, 2, 1]), np.array([0, 5, -1, 1, 2, 3])
    found = moved(sp.csr_matrix(dense), rows, columns, (5, 7)).toarray()
    expected = np.zeros((5, 7), np.float32)
    for row, column in np.ndindex(dense.shape):
        if rows[row] >= 0 and columns[column] >= 0:
            expected[rows[row], columns[column]] = dense[row, column]
    np.testing.assert_array_equal(found, expected)


def links(*edges: tuple[int, int, float]) -> Edges:
    source, target, weight = zip(*edges, strict=True)
    return Edges(np.array(source), np.array(target), np.array(weight, np.float32))


def test_a_digest_is_of_the_ids_at_the_ends_and_the_weights() -> None:
    before = graph_of(("u1",), ("i1", "i3"), in_category=links((0, 0, 1.0), (1, 1, 0.5)))
    grown = graph_of(("u1",), ("i0", "i1", "i3"), in_category=links((1, 0, 1.0), (2, 1, 0.5)))
    assert digests_of(before) == digests_of(grown)
    for other in (
        links((0, 0, 1.0), (1, 1, 0.6)),
        links((0, 0, 1.0), (1, 0, 0.5)),
        links((0, 0, 1.0)),
    ):
        changed = digests_of(replace(before, in_category=other))
        assert changed["IN_CATEGORY"] != digests_of(before)["IN_CATEGORY"]
        assert changed["FOLLOWS"] == digests_of(before)["FOLLOWS"]


def test_a_state_knows_the_graph_that_it_is_of() -> None:
    graph, evidence = graph_of(USERS, ITEMS), sp.csr_matrix(DID)
    state = replace(made(), digests=digests_of(graph))
    assert state.learned_from(graph, evidence)
    heard = Interactions(*(np.array([0]),) * 3, np.ones(1), np.full(1, np.nan), ("play",))
    for others in (
        (graph_of((*USERS, "u9"), ITEMS), sp.vstack([evidence, sp.csr_matrix((1, 4))])),
        (graph, evidence * 2.0),
        (graph, sp.csr_matrix(DID[::-1])),
        (replace(graph, follows=links((0, 1, 1.0))), evidence),
        (replace(graph, interactions=heard), evidence),
    ):
        assert not state.learned_from(others[0], sp.csr_matrix(others[1]))


def like_items(graph: HeteroGraph) -> Snapshot:
    """Of this graph: items of one category are alike."""
    inside = graph.in_category.matrix(len(graph.items), len(graph.categories))
    alike = RowSignal("item_category_item", "item", graph.items, sp.csr_matrix(inside @ inside.T))
    nothing = np.zeros(len(graph.items), np.int64)
    return Snapshot(
        {"hybrid": 1}, graph.items, graph.categories, IdMap(()), nothing[:0], nothing,
        tuple(graph.items), nothing == 0, sp.csr_matrix(inside),
        Blend((alike,), (1.0,), nothing.astype(np.float32), 0.1),
    )  # fmt: skip


@pytest.mark.parametrize("here", [True, False], ids=["here", "on another machine"])
def test_rows_without_a_node_that_came_again_are_not_kept(tmp_path: Path, here: bool) -> None:
    """The graph is as it was; the stored rows were rewritten without the item."""
    graph = graph_of(USERS, ITEMS, in_category=links((0, 0, 1.0), (1, 0, 1.0), (2, 1, 1.0)))
    evidence, before = sp.csr_matrix(DID), like_items(graph)
    keep_state(ended(tmp_path, "run-1"), made(digests=digests_of(graph)))

    def rows(before: Snapshot) -> sp.csr_matrix | None:
        state = read_state(tmp_path, "run-1")
        assert state is not None
        state = state.still_there(graph, before)
        start = Start("", state, before, state.learned_from(graph, evidence))
        assert start.unchanged == (before.items == graph.items)
        return same_rows(start, graph)("item_category_item")

    whole = rows(before)
    assert whole is not None
    assert whole[0, 1] == 1.0
    if here:
        forget_node(tmp_path, "item", "i1")
    assert rows(before.without({"item": ["i1"]})) is None


def test_who_was_deleted_on_another_machine_is_left_out(tmp_path: Path) -> None:
    state = made().still_there(graph_of(USERS[1:], ITEMS), like_items(graph_of(USERS, ITEMS)))
    assert list(state.users) == ["u3", "u5"]


def ended(home: Path, name: str) -> Path:
    folder = home / "refreshes" / name
    folder.mkdir(parents=True)
    text = (
        f'{{"run": "{name}", "state": "activated", "identity": {{}}, "attempts": [], "steps": []}}'
    )
    (folder / "manifest.json").write_text(text)
    return folder


def test_a_state_comes_back_as_it_was_and_the_newest_two_are_kept(tmp_path: Path) -> None:
    for name in ("run-1", "run-2", "run-3"):
        keep_state(ended(tmp_path, name), made())
    assert read_state(tmp_path, "run-1") is None
    for name in ("run-2", "run-3"):
        found = read_state(tmp_path, name)
        assert found is not None
        assert found.users == made().users
        assert found.learned.metrics == made().learned.metrics
        np.testing.assert_array_equal(found.tables["node2vec"][1], made().tables["node2vec"][1])
        np.testing.assert_array_equal(found.evidence.toarray(), DID)


def test_a_damaged_state_is_none(tmp_path: Path) -> None:
    folder = ended(tmp_path, "run-1")
    (folder / "state.npz").write_bytes(b"PK")
    assert read_state(tmp_path, "run-1") is None


@pytest.mark.parametrize(
    ("kind", "name", "left"),
    [
        ("user", "u3", [1, 3, 4, 5, 6, 0, 8, 9]),
        ("item", "i1", [1, 2, 3, 5, 6, 0, 8, 9]),
        ("category", "c1", [1, 2, 3, 4, 5, 6, 0, 9]),
        ("user", "unknown", [1, 2, 3, 4, 5, 6, 0, 8, 9]),
    ],
)
def test_a_deleted_node_is_in_no_state(tmp_path: Path, kind, name, left) -> None:
    for run in ("run-1", "run-2"):
        keep_state(ended(tmp_path, run), made())
    forget_node(tmp_path, kind, name)
    for run in ("run-1", "run-2"):
        state = read_state(tmp_path, run)
        assert state is not None
        assert name not in (*state.users, *state.items, *state.categories)
        assert first(state.tables["node2vec"][0]) == left
        assert first(state.tables["lightgcn"][0]) == [x for x in left if x < 8]
        assert bool(state.digests) == (name == "unknown")
        assert state.evidence.shape == (len(state.users), len(state.items))
        assert name.encode() not in (tmp_path / "refreshes" / run / "state.npz").read_bytes()
        gone = id_numbers([name])[0]
        assert gone not in state.learned.validated.user
        assert len(state.learned.validated.user) == len(state.learned.validated.ndcg)
