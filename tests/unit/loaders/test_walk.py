"""The walk that a meta-path declares: what is read from it, and what is refused."""

import numpy as np
import pytest

from loaders.errors import CatalogueError
from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from loaders.walk import Hop, parse_walk
from recsvc.signals.walk import strongest_paths, walk_rows

KINDS = ("interaction",)


def test_a_walk_is_read_with_its_hops_and_powers() -> None:
    walk = parse_walk("(Item ^-0.5) -[IN_CATEGORY 50 log]->(Category)<-[IN_CATEGORY max 7]- (Item)")
    assert walk.hops == (
        Hop("IN_CATEGORY", forward=True, strongest=False, cap=50, log=True),
        Hop("IN_CATEGORY", forward=False, strongest=True, cap=7, log=False),
    )
    assert walk.exponents == (-0.5, 0.0, 0.0)
    assert walk.start == "Item"
    assert walk.types == {"IN_CATEGORY"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(Item)", "'0 hops': expected 1 to 4"),
        ("(Thing) -[INTERACTED 5]-> (Item)", "expected a node such as"),
        ("(User) -[INTERACTED 5]-> ", "expected a node such as"),
        ("(User) -[INTERACTED]-> (Item)", "expected a hop such as"),
        ("(User) -[INTERACTED 0]-> (Item)", "expected a hop such as"),
        ("(User) <-[FOLLOWS 5]-> (User)", "expected a hop such as"),
        ("(Item) -[RELATED_TO 5]-> (Item)", "expected one of INTERACTED, FOLLOWS"),
        ("(Item) -[INTERACTED 5]-> (Item)", "expected a hop that a Item has"),
        ("(User) -[INTERACTED 5]-> (Category)", "expected (Item)"),
        ("(User) -[FOLLOWS 5]-> (User)", "'(User) at the end': expected (Item)"),
        ("(User)" + " -[FOLLOWS 5]-> (User)" * 4 + " -[INTERACTED 5]-> (Item)", "'5 hops'"),
    ],
)
def test_what_is_no_walk_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(CatalogueError) as refused:
        parse_walk(text)
    assert str(refused.value).startswith("the walk has ")
    assert said in str(refused.value)


def _graph(weights: list[float]) -> HeteroGraph:
    """u0 has the items in turn; u1 has i0."""
    n = len(weights)
    did = Interactions(
        np.array([0] * n + [1]), np.array([*range(n), 0]), np.zeros(n + 1, np.int8),
        np.array([*weights, 1.0]), np.full(n + 1, np.nan), ("interaction",),
    )  # fmt: skip
    items = IdMap([f"i{item}" for item in range(n)])
    return HeteroGraph(IdMap(["u0", "u1"]), items, IdMap([]), did, follows=Edges.empty())


def test_a_cap_takes_the_strongest_by_all_64_bits_and_ties_by_the_id() -> None:
    walk = parse_walk("(User) -[INTERACTED max 2]-> (Item)")
    near = np.nextafter(3.0, 4.0)
    assert np.float32(near) == np.float32(3.0)
    for weights, kept in (
        ([3.0, 1.0, near, 3.0], [0, 2]),
        ([3.0, 3.0, 3.0, near], [0, 3]),
        ([1.0, -9.0, 0.0, 2.0], [0, 3]),
    ):
        found = walk_rows(walk, _graph(weights), KINDS, 9)
        assert found[0].indices.tolist() == kept


def test_blocks_of_rows_give_what_one_block_does(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = parse_walk("(Item ^-0.7) <-[INTERACTED max 9]- (User) -[INTERACTED max 9]-> (Item)")
    graph = _graph([1.0, 2.0, 3.0, 4.0, 5.0])
    whole = walk_rows(walk, graph, KINDS, 3)
    assert np.diff(whole.indptr).tolist() == [3] * 5
    assert not whole.diagonal().any()
    monkeypatch.setattr("recsvc.signals.walk._ENTRIES_AT_ONCE", 1)
    told: list[tuple[int, int]] = []
    parts = walk_rows(walk, graph, KINDS, 3, lambda *both: told.append(both))
    np.testing.assert_array_equal(parts.toarray(), whole.toarray())
    assert told == [(row, 5) for row in range(1, 6)]


def test_rows_of_some_nodes_and_the_strongest_path_of_a_pair() -> None:
    """i0 leads to i1 over u0, who has two items, and over u1, who has three: u0 counts more."""
    walk = parse_walk("(Item) <-[INTERACTED 9]- (User ^-1) -[INTERACTED 9]-> (Item)")
    did = Interactions(
        np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2]), np.zeros(5, np.int8), np.ones(5),
        np.full(5, np.nan), ("interaction",),
    )  # fmt: skip
    graph = HeteroGraph(
        IdMap(["u0", "u1"]), IdMap(["i0", "i1", "i2"]), IdMap([]), did, follows=Edges.empty()
    )
    every = walk_rows(walk, graph, KINDS, 9).toarray()
    assert every[0] == pytest.approx([0, 1 / 2 + 1 / 3, 1 / 3])
    some = walk_rows(walk, graph, KINDS, 9, starts=np.array([2, 0])).toarray()
    np.testing.assert_array_equal(some, every[[2, 0]])
    assert strongest_paths(walk, graph, KINDS, [(0, 1), (2, 0)]) == [[0, 0, 1], [2, 1, 0]]
