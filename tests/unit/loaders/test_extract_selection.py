"""Cutting arrays down, and ranges of nodes, without a database."""

from datetime import datetime

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.extract import Selection, k_core, to_networkx
from loaders.extract._reading import ranges
from loaders.extract._selection import induced
from loaders.types import Edges, HeteroGraph, IdMap, Interactions

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1)), max_size=70)


def interactions(rows: list[tuple[int, int, int]]) -> Interactions:
    ordered = sorted(set(rows))
    user, item, event = np.array(ordered, np.int64).reshape(-1, 3).T
    n = len(ordered)
    return Interactions(
        user, item, event.astype(np.int8), np.arange(n, dtype=np.float32), np.full(n, np.nan),
        ("buy", "view"),
    )  # fmt: skip


def edges(*pairs: tuple[int, int]) -> Edges:
    source, target = np.array(pairs, np.int64).reshape(-1, 2).T
    return Edges(source, target, np.arange(len(pairs), dtype=np.float32))


@given(PAIRS, st.integers(1, 5))
def test_k_core_is_that_of_networkx(rows: list[tuple[int, int, int]], k: int) -> None:
    graph = nx.Graph((("u", user), ("i", item)) for user, item, _ in rows)
    expected = set(nx.k_core(graph, k).nodes)
    users, items = k_core(interactions(rows), k)
    assert {("u", u) for u in users.tolist()} | {("i", i) for i in items.tolist()} == expected
    assert users.tolist() == sorted(users.tolist())


@given(PAIRS, st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_induced_keeps_exactly_what_lies_between_kept_nodes(
    rows: list[tuple[int, int, int]], users: set[int], items: set[int]
) -> None:
    names = [f"n{n}" for n in range(10)]
    whole = HeteroGraph(
        IdMap(names), IdMap(names), IdMap(["c"]), interactions(rows),
        follows=edges((0, 1), (1, 2), (5, 9)), in_category=edges((0, 0), (3, 0)),
        related_to=edges((0, 3), (3, 4)),
    )  # fmt: skip
    part = induced(
        whole,
        users=np.isin(np.arange(10), list(users)),
        items=np.isin(np.arange(10), list(items)),
    )
    kept = {("User", names[u]) for u in users} | {("Item", names[i]) for i in items}
    expected = to_networkx(whole).subgraph(kept | {("Category", "c")})
    found = to_networkx(part)
    assert set(found.nodes) == set(expected.nodes)
    assert dict(found.edges) == dict(expected.edges)


@given(
    st.lists(st.integers(0, 60_000), max_size=80),
    st.data(),
)
def test_ranges_cover_what_is_wanted_once_and_stay_small(
    degrees: list[int], data: st.DataObject
) -> None:
    size = len(degrees)
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool)
    order = [f"{n:03d}" for n in range(size)]
    cuts = ranges(order, np.array(degrees, np.int64), wanted)
    covered = [n for cut in cuts for n in map(int, cut.ids)]
    assert covered == sorted(set(covered))
    assert set(np.flatnonzero(wanted).tolist()) <= set(covered)
    for cut in cuts:
        inside = [degrees[int(n)] for n in cut.ids]
        assert sum(inside[:-1]) < 50_000 or len(inside) == 1
        assert wanted[int(cut.ids[0])]
        assert wanted[int(cut.ids[-1])]


def test_ranges_pass_over_long_stretches_nobody_asked_for() -> None:
    order = [f"{n:05d}" for n in range(10_000)]
    wanted = np.zeros(10_000, bool)
    wanted[[3, 5, 9_000]] = True
    found = [(cut.ids[0], cut.ids[-1]) for cut in ranges(order, wanted=wanted)]
    assert found == [("00003", "00005"), ("09000", "09000")]
    assert len(ranges(order)) == 5
    assert ranges([]) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"labels": ["Useer"]}, "no label 'Useer': expected some of User, Item, Category"),
        ({"types": ["LIKES"]}, "no type 'LIKES': expected some of INTERACTED, FOLLOWS"),
        ({"until": datetime(2020, 1, 1)}, "until 2020-01-01T00:00:00 has no offset"),
        ({"k_core": 0}, "k_core is 0: expected 1 or more"),
    ],
)
def test_selection_refuses(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Selection(**arguments)
