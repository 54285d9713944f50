"""Personalized PageRank on random graphs: linear in the restarts."""

import networkx as nx
import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.signals.pagerank import pagerank_rows
from tests.transitions import transition_matrix

DAMPING = st.sampled_from([0.3, 0.5, 0.85])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[HeteroGraph, sp.csr_matrix]:
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    users, items = np.nonzero(rng.random((n_users, n_items)) < draw(st.sampled_from([0.2, 0.6])))
    source, target = np.nonzero(rng.random((n_users, n_users)) < 0.2)
    graph = HeteroGraph(
        IdMap([f"u{n}" for n in range(n_users)]),
        IdMap([f"i{n}" for n in range(n_items)]),
        IdMap([]),
        Interactions.empty(),
        follows=Edges(source, target, np.ones(len(source), np.float32)),
    )
    weights = np.ones(len(users), np.float32)
    return graph, sp.csr_matrix((weights, (users, items)), shape=(n_users, n_items))


def oracle(
    transition: sp.csr_matrix, restart: NDArray[np.float64], damping: float
) -> NDArray[np.float64]:
    linked = nx.from_scipy_sparse_array(transition.astype(bool).astype(float))
    rank = nx.pagerank(
        linked, alpha=damping, personalization=dict(enumerate(restart)), tol=1e-13, max_iter=1000
    )
    return np.array([rank[node] for node in range(len(restart))])


@given(graphs(), DAMPING, st.data())
def test_a_mix_of_rows_is_the_pagerank_of_the_mixed_restarts(
    made: tuple[HeteroGraph, sp.csr_matrix], damping: float, data: st.DataObject
) -> None:
    graph, evidence = made
    n_users, n_items = evidence.shape
    linked = np.flatnonzero(np.bincount(evidence.indices, minlength=n_items)).tolist()
    if not linked:
        return
    chosen = data.draw(st.lists(st.sampled_from(linked), min_size=1, max_size=4, unique=True))
    weights = np.array(data.draw(st.tuples(*[st.sampled_from([0.1, 1.0, 3.0])] * len(chosen))))
    rows, missing, cut = pagerank_rows(graph, evidence, damping=damping, epsilon=1e-6, size=n_items)
    assert missing <= 1e-6
    assert cut <= 1e-6
    assert (rows.data >= 0.0).all()
    assert (np.asarray(rows.sum(axis=1)).ravel() <= 1.0 + 1e-6).all()
    restart = np.zeros(n_users + n_items)
    restart[n_users + np.array(chosen)] = weights / weights.sum()
    expected = oracle(transition_matrix(graph, evidence), restart, damping)[n_users:]
    mixed = restart[n_users:] @ rows.toarray().astype(np.float64)
    others = np.setdiff1d(np.arange(n_items), chosen)
    np.testing.assert_allclose(mixed[others], expected[others], atol=5e-6)
