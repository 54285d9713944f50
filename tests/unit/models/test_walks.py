import warnings
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings():
    # The oracle imports pkg_resources-era helpers of other packages; what they warn of is theirs.
    warnings.simplefilter("ignore")
    from node2vec import Node2Vec

from recsvc.models._walks import WalkGraph, _bias, random_walks, typed_walks

P, Q = 0.5, 3.0


def weighted_graph() -> nx.Graph:
    """Small, weighted, with triangles and a node of degree 1."""
    graph = nx.Graph()
    graph.add_weighted_edges_from(
        [(0, 1, 1.0), (0, 2, 2.5), (1, 2, 0.5), (2, 3, 1.0), (3, 4, 4.0), (1, 4, 1.5), (4, 5, 1.0)]
    )
    return graph


def walk_graph(graph: nx.Graph) -> WalkGraph:
    nodes = sorted(graph)
    return WalkGraph.from_matrix(sp.csr_matrix(nx.to_scipy_sparse_array(graph, nodes)))


def steps(walks: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """(previous, current) → the nodes that came next."""
    triples = np.lib.stride_tricks.sliding_window_view(walks, 3, axis=1).reshape(-1, 3)
    pairs = {tuple(pair) for pair in triples[:, :2].tolist()}
    return {
        pair: triples[(triples[:, 0] == pair[0]) & (triples[:, 1] == pair[1]), 2] for pair in pairs
    }


def transition_probabilities(
    graph: WalkGraph, previous: int, current: int, *, p: float, q: float
) -> np.ndarray:
    """Exact probabilities of the next node, in the order of `current`'s neighbours.

    π(x | current, previous) ∝ w(current, x) · bias(previous, x), where the bias is 1/p if x is
    `previous`, 1 if x is its neighbour, else 1/q (§3.2.2). The walker draws from the same
    distribution by rejection and never computes it.
    """
    own = slice(int(graph.begin[current]), int(graph.begin[current + 1]))
    weights = np.diff(graph.cumulative[own], prepend=0.0)
    bias = [
        _bias(graph.begin, graph.neighbour, previous, x, 1.0 / p, 1.0 / q)
        for x in graph.neighbour[own]
    ]
    unnormalised = weights * np.array(bias)
    return unnormalised / unnormalised.sum()


def test_transition_probabilities_are_those_of_the_node2vec_package() -> None:
    graph = weighted_graph()
    oracle = Node2Vec(graph, p=P, q=Q, quiet=True, num_walks=1, walk_length=2).d_graph
    for current in graph:
        for previous in graph[current]:
            expected = dict(
                zip(
                    oracle[current]["neighbors"],
                    oracle[current]["probabilities"][previous],
                    strict=True,
                )
            )
            ours = transition_probabilities(walk_graph(graph), previous, current, p=P, q=Q)
            np.testing.assert_allclose(ours, [expected[x] for x in sorted(graph[current])])


@pytest.mark.parametrize(("p", "q"), [(P, Q), (4.0, 0.25), (1.0, 1.0), (0.1, 0.2), (5.0, 5.0)])
@pytest.mark.parametrize("weight", ["weight", None])
def test_walks_have_the_transition_probabilities(p: float, q: float, weight: str | None) -> None:
    graph = weighted_graph()
    if weight is None:
        nx.set_edge_attributes(graph, 1.0, "weight")
    ours = walk_graph(graph)
    walks = random_walks(ours, np.tile(np.arange(6), 3000), 12, p=p, q=q, seed=1)
    for (previous, current), following in steps(walks).items():
        exact = transition_probabilities(ours, previous, current, p=p, q=q)
        seen = np.bincount(following, minlength=6)[sorted(graph[current])]
        error = np.sqrt(exact * (1 - exact) / len(following))
        assert (np.abs(seen / len(following) - exact) <= 5 * error + 1e-12).all()


def test_the_first_step_is_by_weight() -> None:
    graph = weighted_graph()
    walks = random_walks(walk_graph(graph), np.full(40_000, 0), 2, p=P, q=Q, seed=2)
    assert (walks[:, 1] == 1).mean() == pytest.approx(1.0 / 3.5, abs=0.01)


def test_walks_follow_relationships_only() -> None:
    graph = nx.gnm_random_graph(40, 90, seed=3)
    walks = random_walks(walk_graph(graph), np.arange(40), 30, p=P, q=Q, seed=3)
    for walk in walks.tolist():
        real = [node for node in walk if node >= 0]
        assert all(graph.has_edge(*step) for step in pairwise(real))
        assert len(real) == (30 if graph.degree(walk[0]) else 1)


def test_threads_and_number_of_walks_change_nothing() -> None:
    graph = walk_graph(weighted_graph())
    starts = np.tile(np.arange(6), 2000)
    many = random_walks(graph, starts, 10, p=P, q=Q, seed=4, threads=8)
    one = random_walks(graph, starts, 10, p=P, q=Q, seed=4, threads=1)
    np.testing.assert_array_equal(one, many)
    np.testing.assert_array_equal(random_walks(graph, starts[:50], 10, p=P, q=Q, seed=4), many[:50])


def test_walking_leaves_the_threads_of_torch_alone() -> None:
    """numba's own threads would set them for the whole process."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        random_walks(walk_graph(weighted_graph()), np.arange(6), 5, p=P, q=Q, seed=0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_seeds_and_walks_differ() -> None:
    graph = walk_graph(nx.complete_graph(50))
    walks = random_walks(graph, np.zeros(100, np.int64), 20, p=1.0, q=1.0, seed=0)
    assert len(np.unique(walks, axis=0)) == 100
    other = random_walks(graph, np.zeros(100, np.int64), 20, p=1.0, q=1.0, seed=1)
    assert len(np.unique(np.concatenate([walks, other]), axis=0)) == 200


BOUNDS = (0, 4, 10, 13)  # users, items, categories
PATHS = [(0, 1, 0), (0, 1, 2, 1, 0), (0, 0), (2, 1, 2), (1, 0, 0, 1)]


def typed_graph(seed: int) -> sp.csr_matrix:
    """Random weights between all nodes, whatever their types; some nodes have few neighbours."""
    half = sp.triu(sp.random(13, 13, 0.3, random_state=seed, format="csr"), k=1)
    return sp.csr_matrix(half + half.T)


@given(st.integers(0, 2**32 - 1), st.sampled_from(PATHS), st.integers(2, 15))
def test_typed_walks_visit_the_types_in_turn(seed: int, path: tuple[int, ...], length: int) -> None:
    weights = typed_graph(seed)
    starts = np.arange(BOUNDS[path[0]], BOUNDS[path[0] + 1])
    graph = WalkGraph.from_matrix(weights)
    walks = typed_walks(graph, starts, length, bounds=BOUNDS, path=path, seed=seed)
    kind = np.digitize(np.arange(13), BOUNDS[1:])
    for walk in walks.tolist():
        real = [node for node in walk if node >= 0]
        assert walk == real + [-1] * (length - len(real))
        turns = [path[step % (len(path) - 1)] for step in range(length)]
        assert kind[real].tolist() == turns[: len(real)]
        assert all(weights[step] > 0 for step in pairwise(real))
        if len(real) < length:
            assert not (kind[weights[real[-1]].indices] == turns[len(real)]).any()


def test_typed_walks_choose_by_weight() -> None:
    weights = typed_graph(5)
    graph = WalkGraph.from_matrix(weights)
    starts = np.tile(np.arange(4), 5000)
    walks = typed_walks(graph, starts, 9, bounds=BOUNDS, path=(0, 1, 2, 1, 0), seed=1)
    types = (0, 1, 2, 1)
    checked = 0
    for step in range(8):
        wanted = types[(step + 1) % 4]
        own = slice(BOUNDS[wanted], BOUNDS[wanted + 1])
        for node in range(13):
            following = walks[walks[:, step] == node, step + 1]
            exact = weights[node].toarray()[0, own]
            if len(following) < 100 or not exact.any():
                continue
            exact = exact / exact.sum()
            seen = np.bincount(following, minlength=13)[own] / len(following)
            error = np.sqrt(exact * (1 - exact) / len(following))
            assert (np.abs(seen - exact) <= 5 * error + 1e-12).all()
            checked += 1
    assert checked > 10


def test_threads_change_no_typed_walk() -> None:
    graph = WalkGraph.from_matrix(typed_graph(5))
    starts = np.tile(np.arange(4), 4000)
    one, many = (
        typed_walks(graph, starts, 8, bounds=BOUNDS, path=(0, 1, 0), seed=2, threads=threads)
        for threads in (1, 8)
    )
    np.testing.assert_array_equal(one, many)
    other = typed_walks(graph, starts, 8, bounds=BOUNDS, path=(0, 1, 0), seed=3)
    assert not np.array_equal(one, other)
