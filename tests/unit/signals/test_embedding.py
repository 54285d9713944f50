import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.evidence import EvidenceRows
from recsvc.signals import EmbeddingSignal

RNG = np.random.default_rng(0)
SOURCE = RNG.normal(size=(7, 3)).astype(np.float32)
TARGET = RNG.normal(size=(7, 3)).astype(np.float32)
SIGNAL = EmbeddingSignal("lightgcn", IdMap([f"i{row}" for row in range(7)]), SOURCE, TARGET)
EVIDENCE = EvidenceRows(np.array([4, 0, 2]), np.array([5, 1, 3]), np.array([1.0, -0.5, 2.0]))
KERNEL = SOURCE.astype(np.float64) @ TARGET.astype(np.float64).T


def test_kernel_is_source_times_target_and_not_the_other_way() -> None:
    expected = 1.0 * KERNEL[5] - 0.5 * KERNEL[1] + 2.0 * KERNEL[3]
    assert not np.allclose(expected, 1.0 * KERNEL[:, 5] - 0.5 * KERNEL[:, 1] + 2 * KERNEL[:, 3])
    np.testing.assert_allclose(SIGNAL.raw_scores(EVIDENCE), expected, rtol=1e-5, atol=1e-6)
    assert SIGNAL.raw_scores(EVIDENCE).dtype == np.float32


@pytest.mark.parametrize(("items", "dim"), [(300, 64), (256, 64), (3, 9000), (40, 1)])
def test_every_item_is_scored_whatever_the_blocks(items: int, dim: int) -> None:
    """One block and a rest, whole blocks alone, vectors longer than a block, less than a block."""
    source, target = np.random.default_rng(1).normal(size=(2, items, dim)).astype(np.float32)
    signal = EmbeddingSignal("long", IdMap([f"i{row:03}" for row in range(items)]), source, target)
    rows = EvidenceRows(np.arange(2), np.array([2, 0]), np.array([1.5, -1.0]))
    wide = source.astype(np.float64)
    expected = target.astype(np.float64) @ (1.5 * wide[2] - wide[0])
    np.testing.assert_allclose(signal.raw_scores(rows), expected, rtol=1e-4, atol=1e-3)


def test_likes_and_dislikes_cancel_in_float64() -> None:
    source, target = np.ones((2, 3, 2), np.float32)
    signal = EmbeddingSignal("same", IdMap(["a", "b", "c"]), source, target)
    rows = EvidenceRows(np.arange(3), np.arange(3), np.array([0.3, 0.6, -0.9]))
    assert np.abs(signal.raw_scores(rows)).max() < 1e-15


def test_terms_are_weight_times_kernel_in_the_order_asked_for() -> None:
    items = np.array([6, 0, 3])
    terms = SIGNAL.terms(EVIDENCE, items)
    expected = EVIDENCE.weight[:, None] * KERNEL[np.ix_(EVIDENCE.row, items)]
    np.testing.assert_allclose(terms, expected, rtol=1e-12)
    np.testing.assert_allclose(terms.sum(axis=0), SIGNAL.raw_scores(EVIDENCE)[items], rtol=1e-4)


def test_batch_is_every_user_for_itself() -> None:
    weights = np.zeros((3, 7), np.float32)
    weights[0, EVIDENCE.row] = EVIDENCE.weight
    weights[2, 6] = 1.0
    scores = SIGNAL.batch_scores(sp.csr_matrix(weights))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[0], SIGNAL.raw_scores(EVIDENCE), rtol=1e-5, atol=1e-6)
    assert not scores[1].any()
    np.testing.assert_allclose(scores[2], KERNEL[6], rtol=1e-5)


def test_a_changed_item_has_how_the_mean_of_its_neighbours_differs_from_any_mean() -> None:
    people = np.array([5, 0, 1, 0, 2, 0, 0])
    shares = sp.csr_matrix(
        np.array([[0, 0.5, 0, 0, 0, 0.25, 0], [0] * 7, [1, 0, 0, 0, 0, 0, 0]], np.float32)
    )
    usual = (5 * SOURCE[0] + SOURCE[2] + 2 * SOURCE[4]) / 8
    expected = [(2 * SOURCE[1] + SOURCE[5]) / 3 - usual, np.zeros(3), SOURCE[0] - usual]
    made = SIGNAL.new_source_vectors(shares, people)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    ids = IdMap(["i1", "new0", "new1", "new2"])
    fresh = SIGNAL.with_fresh_rows(ids, np.array([1, -1, -1, -1]), shares, people)
    np.testing.assert_array_equal(fresh.source, np.concatenate([SOURCE[[1]], made]))
    np.testing.assert_array_equal(fresh.target, TARGET)
