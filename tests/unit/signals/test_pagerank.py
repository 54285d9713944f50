"""Pushing against networkx's power iteration."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.signals import pagerank
from recsvc.signals.pagerank import MOST_LINKS, pagerank_rows

N_USERS, N_ITEMS, LONELY = 30, 20, 19
DAMPING, EPSILON = 0.6, 1e-5


def made_graph() -> tuple[HeteroGraph, sp.csr_matrix]:
    """Random listens and follows; nobody has the last item, and user 0 has nothing."""
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.15)
    kept = (items != LONELY) & (users != 0)
    users, items = users[kept], items[kept]
    follows = np.unique(rng.integers(0, N_USERS, (25, 2)), axis=0)
    graph = HeteroGraph(
        IdMap([f"u{n:02}" for n in range(N_USERS)]),
        IdMap([f"i{n:02}" for n in range(N_ITEMS)]),
        IdMap([]),
        Interactions(
            users, items, np.zeros(len(users), np.int8), np.ones(len(users), np.float32),
            np.full(len(users), np.nan), ("listen",),
        ),
        follows=Edges(follows[:, 0], follows[:, 1], np.ones(len(follows), np.float32)),
    )  # fmt: skip
    # Weights are not what links are made of: only which pairs there are counts.
    weights = rng.random(len(users)).astype(np.float32) + 0.5
    return graph, sp.csr_matrix((weights, (users, items)), shape=(N_USERS, N_ITEMS))


GRAPH, EVIDENCE = made_graph()


def oracle(restart: dict[int, float]) -> NDArray[np.float64]:
    """Personalized PageRank of every item; `restart` is over items."""
    linked = nx.Graph()
    linked.add_nodes_from(range(N_USERS + N_ITEMS))
    did = EVIDENCE.tocoo()
    linked.add_edges_from((u, N_USERS + i) for u, i in zip(did.row, did.col, strict=True))
    follows = zip(GRAPH.follows.source.tolist(), GRAPH.follows.target.tolist(), strict=True)
    linked.add_edges_from(follows)
    rank = nx.pagerank(
        linked,
        alpha=DAMPING,
        personalization={N_USERS + item: weight for item, weight in restart.items()},
        tol=1e-13,
        max_iter=1000,
    )
    return np.array([rank[N_USERS + item] for item in range(N_ITEMS)])


def test_rows_are_personalized_pagerank_within_the_stated_error() -> None:
    rows, missing, cut = pagerank_rows(GRAPH, EVIDENCE, damping=DAMPING, epsilon=1e-2, size=N_ITEMS)
    dense = rows.toarray().astype(np.float64)
    assert 0.0 < missing <= 1e-2
    assert cut == pytest.approx(0.0, abs=1e-6)
    for seed in range(N_ITEMS - 1):
        expected = oracle({seed: 1.0})
        expected[seed] = 0.0
        short = expected - dense[seed]
        assert short.min() > -1e-7, "no entry is too large"
        assert 1e-4 < short.sum() <= missing + 1e-6


def test_row_is_linear_in_the_restart() -> None:
    rows, *_ = pagerank_rows(GRAPH, EVIDENCE, damping=DAMPING, epsilon=1e-6, size=N_ITEMS)
    restart = {2: 0.5, 7: 0.3, 11: 0.2}
    mixed = sum(weight * rows[seed].toarray().ravel() for seed, weight in restart.items())
    others = [item for item in range(N_ITEMS) if item not in restart]
    np.testing.assert_allclose(mixed[others], oracle(restart)[others], atol=2e-6)


def test_rows_keep_the_largest_on_other_items() -> None:
    whole, *_ = pagerank_rows(GRAPH, EVIDENCE, damping=DAMPING, epsilon=EPSILON, size=N_ITEMS)
    short, _, cut = pagerank_rows(GRAPH, EVIDENCE, damping=DAMPING, epsilon=EPSILON, size=3)
    assert short.dtype == np.float32
    assert not short.diagonal().any()
    assert cut == pytest.approx(1.0 - short.sum() / whole.sum(), abs=1e-6)
    for seed in range(N_ITEMS):
        row = whole[seed].toarray().ravel()
        kept = short[seed].toarray().ravel()
        largest = sorted(np.sort(row)[::-1][:3].tolist())
        assert sorted(kept[kept > 0].tolist()) == [value for value in largest if value]
        np.testing.assert_array_equal(kept[kept > 0], row[kept > 0])


def test_rows_of_some_items_are_those_of_all() -> None:
    asked, told = np.array([0, 7, LONELY]), list[tuple[int, int]]()
    options = {"damping": DAMPING, "epsilon": EPSILON, "size": 3}
    whole, *_ = pagerank_rows(GRAPH, EVIDENCE, **options)
    some, *_ = pagerank_rows(
        GRAPH, EVIDENCE, **options, items=asked, progress=lambda *both: told.append(both)
    )
    others = np.setdiff1d(np.arange(N_ITEMS), asked)
    np.testing.assert_array_equal(some[asked].toarray(), whole[asked].toarray())
    assert whole[others].nnz
    assert not some[others].nnz
    assert told == [(len(asked), len(asked))]


def test_item_nobody_has_is_an_empty_row_and_is_reached_by_none() -> None:
    rows, *_ = pagerank_rows(GRAPH, EVIDENCE, damping=DAMPING, epsilon=EPSILON, size=N_ITEMS)
    assert rows[LONELY].nnz == 0
    assert rows[:, LONELY].nnz == 0


def test_no_interactions_at_all() -> None:
    nothing = sp.csr_matrix((N_USERS, N_ITEMS), dtype=np.float32)
    rows, missing, cut = pagerank_rows(GRAPH, nothing, damping=DAMPING, epsilon=EPSILON, size=5)
    assert rows.shape == (N_ITEMS, N_ITEMS)
    assert rows.nnz == 0
    assert (missing, cut) == (0.0, 0.0)


def test_a_row_follows_so_many_links_and_tells_exactly_what_it_lacks() -> None:
    """Everybody has everything: 600 people hand on to 400 items each, and links last for 250."""
    n_users, n_items, d = 600, 400, 0.5
    everything = sp.csr_matrix(np.ones((n_users, n_items), np.float32))
    graph = HeteroGraph(
        IdMap([f"u{n:03}" for n in range(n_users)]),
        IdMap([f"i{n:03}" for n in range(n_items)]),
        IdMap([]),
        Interactions.empty(),
        follows=Edges.empty(),
    )
    told: list[tuple[int, int]] = []
    rows, missing, _ = pagerank_rows(
        graph, everything, damping=d, epsilon=1e-3, size=n_items,
        progress=lambda *both: told.append(both),
    )  # fmt: skip
    asked = MOST_LINKS / n_items / n_users
    assert asked == pytest.approx(250 / 600)
    expected = (1 - d) * d**2 * asked / n_items * (1 - np.eye(n_items))
    np.testing.assert_allclose(rows.toarray(), expected, rtol=1e-4)
    assert missing == pytest.approx(d * (d * (1 - asked) + d**2 * asked), rel=1e-4)
    assert told == [(256, 400), (400, 400)]


@pytest.mark.parametrize("seed", range(20))
def test_what_waits_is_told_to_the_last_millionth(seed: int) -> None:
    """A difference of two sums in float32 would leave more than it waits for."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(1, 9), rng.integers(2, 9)
    evidence = sp.csr_matrix((rng.random((users, items)) < 0.6).astype(np.float32))
    graph = HeteroGraph(
        IdMap([f"u{n}" for n in range(users)]), IdMap([f"i{n}" for n in range(items)]), IdMap([]),
        Interactions.empty(),
    )  # fmt: skip
    _, missing, _ = pagerank_rows(graph, evidence, damping=0.85, epsilon=1e-6, size=items)
    assert missing <= 1e-6


def test_same_input_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    evidence = sp.csr_matrix((rng.random((N_USERS, 700)) < 0.05).astype(np.float32))
    graph = HeteroGraph(
        GRAPH.users, IdMap([f"i{n:03}" for n in range(700)]), IdMap([]), Interactions.empty(),
        follows=GRAPH.follows,
    )  # fmt: skip
    made = []
    for threads in (1, 3, 3):
        monkeypatch.setattr("recsvc.signals.pagerank.os.cpu_count", lambda n=threads: n)
        made.append(pagerank_rows(graph, evidence, damping=DAMPING, epsilon=EPSILON, size=5)[0])
    for again in made[1:]:
        assert made[0].data.tobytes() == again.data.tobytes()
        assert made[0].indices.tobytes() == again.indices.tobytes()


def test_what_somebody_has_counts_whatever_its_weight() -> None:
    other = EVIDENCE.copy()
    other.data[:] = 3.0
    one, two = (
        pagerank_rows(GRAPH, evidence, damping=DAMPING, epsilon=EPSILON, size=20)[0]
        for evidence in (EVIDENCE, other)
    )
    assert one.nnz > 0
    assert abs(one - two).max() == 0.0


@pytest.mark.parametrize("size", [3, 60])
def test_items_that_the_same_users_have_share_their_pushing(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Their rows are those that each would have alone, and only the same users make them alike."""
    rng = np.random.default_rng(3)
    users = np.concatenate([rng.integers(0, N_USERS, 45), rng.integers(0, N_USERS, 45)])
    items = np.concatenate([np.arange(45), rng.integers(45, 60, 45)])  # most have one user
    linked = sp.csr_matrix((np.ones(90, np.float32), (users, items)), shape=(N_USERS, 60))
    graph = HeteroGraph(
        GRAPH.users, IdMap([f"i{n:02}" for n in range(60)]), IdMap([]), Interactions.empty(),
        follows=GRAPH.follows,
    )  # fmt: skip

    def rows() -> NDArray[np.float32]:
        options = {"damping": DAMPING, "epsilon": EPSILON, "size": size}
        return pagerank_rows(graph, linked, **options)[0].toarray()

    shared = rows()
    assert len(np.unique(pagerank._first_alike(linked))) < 45
    for alike in (np.arange(60), np.zeros(60, np.int64)):
        monkeypatch.setattr(pagerank, "_first_alike", lambda _evidence, alike=alike: alike)
        alone = rows()
        np.testing.assert_array_equal(shared > 0, alone > 0)
        np.testing.assert_allclose(shared, alone, rtol=1e-5)
