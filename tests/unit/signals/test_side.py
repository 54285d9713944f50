"""Follows and categories beside the same sums written out."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.evidence import EvidenceRows
from recsvc.signals import Signal
from recsvc.signals.side import category_signal, follows_signal

USERS, ITEMS, CATEGORIES = 6, 9, 4


def made() -> tuple[HeteroGraph, sp.csr_matrix, np.ndarray]:
    """A user without items, an item without categories, a category without items."""
    rng = np.random.default_rng(3)
    evidence = rng.choice([0.0, 0.0, 0.5, 2.0], (USERS, ITEMS))
    evidence[2] = 0.0
    links = rng.random((ITEMS, CATEGORIES)) < 0.5
    links[4] = False
    links[:, 3] = False
    item, category = np.nonzero(links)
    weight = rng.integers(1, 50, len(item)).astype(np.float32)
    graph = HeteroGraph(
        IdMap([f"u{n}" for n in range(USERS)]),
        IdMap([f"i{n}" for n in range(ITEMS)]),
        IdMap([f"c{n}" for n in range(CATEGORIES)]),
        Interactions.empty(),
        in_category=Edges(item, category, weight),
    )
    return graph, sp.csr_matrix(evidence.astype(np.float32)), links


def dense_follows(evidence: np.ndarray) -> np.ndarray:
    kernel = np.zeros_like(evidence, np.float64)
    for user in range(USERS):
        if evidence[user].sum():
            length = sum(float(e) ** 2 for e in evidence[user]) ** 0.5
            for item in np.flatnonzero(evidence[user]):
                kernel[user, item] = evidence[user, item] / length
                kernel[user, item] /= evidence[:, item].sum() ** 0.25
    return kernel


def dense_categories(graph: HeteroGraph, links: np.ndarray) -> np.ndarray:
    weight = np.zeros((ITEMS, CATEGORIES))
    weight[graph.in_category.source, graph.in_category.target] = graph.in_category.weight
    said = np.log(1.0 + weight)
    kernel = np.zeros((ITEMS, ITEMS))
    for j in range(ITEMS):
        for i in range(ITEMS):
            shared = [c for c in range(CATEGORIES) if links[j, c] and links[i, c]]
            both = sum(said[j, c] * said[i, c] / links[:, c].sum() ** 0.7 for c in shared)
            if shared:
                kernel[j, i] = both / (said[j].sum() ** 0.5 * said[i].sum() ** 0.3)
    return kernel


def kernels() -> list[tuple[Signal, np.ndarray]]:
    graph, evidence, links = made()
    dense = evidence.toarray()
    return [
        (follows_signal(graph, evidence), dense_follows(dense)),
        (category_signal(graph), dense_categories(graph, links)),
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_the_kernel_is_the_sum_written_out(which: int) -> None:
    signal, dense = kernels()[which]
    nodes = len(signal.ids)
    unit = sp.csr_matrix(np.eye(nodes, dtype=np.float32))
    np.testing.assert_allclose(signal.batch_scores(unit), dense, rtol=1e-5)
    assert signal.batch_scores(unit).dtype == np.float32


@pytest.mark.parametrize("which", [0, 1])
def test_scores_and_terms_are_those_of_the_dense_kernel(which: int) -> None:
    signal, dense = kernels()[which]
    evidence = EvidenceRows(np.arange(3), np.array([0, 2, 5]), np.array([0.5, 3.0, -1.0]))
    by_hand = evidence.weight[:, None] * dense[evidence.row]
    np.testing.assert_allclose(signal.raw_scores(evidence), by_hand.sum(axis=0), rtol=1e-5)
    items = np.array([7, 0, 4])
    np.testing.assert_allclose(signal.terms(evidence, items), by_hand[:, items], rtol=1e-5)
    weights = sp.csr_matrix(
        (evidence.weight.astype(np.float32), evidence.row, [0, 3]), shape=(1, len(signal.ids))
    )
    np.testing.assert_allclose(signal.batch_scores(weights)[0], by_hand.sum(axis=0), rtol=1e-5)


def test_they_start_from_users_and_from_items() -> None:
    (follows, _), (categories, _) = kernels()
    assert (follows.kind, follows.name) == ("user", "follows")
    assert (categories.kind, categories.name) == ("item", "categories")
