import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.models._vectors import VectorModel
from recsvc.models.base import FitRun, TrainingData
from recsvc.models.fastrp import FastRPOptions, fit, very_sparse_projection
from tests.unit.models.made import ITEMS, USERS, made_evidence


def made_data() -> TrainingData:
    """Weighted evidence, and two who follow each other; user 3 and item 5 have nothing."""
    both = np.array([0, 1]), np.array([1, 0]), np.ones(2, np.float32)
    graph = HeteroGraph(
        IdMap([f"u{row:02}" for row in range(USERS)]),
        IdMap([f"i{row:02}" for row in range(ITEMS)]),
        IdMap([]),
        Interactions.empty(),
        follows=Edges(*both),
    )
    return TrainingData(graph, made_evidence())


def fitted(seed: int = 0, **values: object) -> VectorModel:
    return fit(made_data(), FastRPOptions.model_validate(values), FitRun(seed=seed))[0]


def dense_walks(weights: list[float], exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Σ_k α_k S^k L as it is written, and the degrees."""
    evidence = made_data().evidence.toarray().astype(float)
    adjacency = np.zeros((USERS + ITEMS, USERS + ITEMS))
    adjacency[:USERS, USERS:], adjacency[USERS:, :USERS] = evidence, evidence.T
    adjacency[0, 1] = adjacency[1, 0] = 2.0
    degree = adjacency.sum(axis=1)
    transitions = np.array(
        [row / d if d else row for row, d in zip(adjacency, degree, strict=True)]
    )
    total = sum(
        weight * np.linalg.matrix_power(transitions, k + 1) for k, weight in enumerate(weights)
    )
    scale = [(d / degree.sum()) ** exponent if d else 0.0 for d in degree]
    return total * scale, degree


@pytest.mark.parametrize(("weights", "exponent"), [([1.0], -0.5), ([0.0, 1.0, 0.5], -0.9)])
def test_vectors_are_those_of_the_dense_formula(weights: list[float], exponent: float) -> None:
    model = fitted(
        7, dimensions=9, iteration_weights=weights, degree_exponent=exponent, popularity=0.3
    )
    walks, degree = dense_walks(weights, exponent)
    vectors = walks @ very_sparse_projection(USERS + ITEMS, 9, seed=7).toarray()
    np.testing.assert_allclose(model.user_vectors, vectors[:USERS], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.source_vectors, vectors[USERS:], rtol=1e-4, atol=1e-6)
    target = vectors[USERS:] * degree[USERS:, None] ** 0.3
    np.testing.assert_allclose(model.item_vectors, target, rtol=1e-4, atol=1e-6)


def test_products_estimate_walk_probabilities() -> None:
    """β = -1/2, γ = 1: the chance of being at i two, three and four steps after j."""
    model = fitted(
        0, dimensions=4096, degree_exponent=-0.5, popularity=1.0, iteration_weights=[1.0, 1.0]
    )
    step, degree = dense_walks([1.0], 0.0)
    chance = step @ step + 2 * step @ step @ step + step @ step @ step @ step
    exact = chance[USERS:, USERS:] * degree.sum()
    error = model.source_vectors @ model.item_vectors.T - exact
    # A product of projections of length d errs by about |x| |y| / sqrt(d).
    lengths = np.outer(
        np.linalg.norm(model.source_vectors, axis=1), np.linalg.norm(model.item_vectors, axis=1)
    )
    assert (np.abs(error) <= 6 * lengths / np.sqrt(4096) + 1e-6).all()


def test_the_projection_is_very_sparse_and_keeps_products() -> None:
    projection = very_sparse_projection(400, 500, seed=3)
    assert projection.nnz == pytest.approx(400 * 500 / 20, rel=0.05)
    assert np.unique(np.abs(projection.data)).tolist() == [pytest.approx((20 / 500) ** 0.5)]
    assert (projection.data > 0).mean() == pytest.approx(0.5, abs=0.03)
    gram = (projection @ projection.T).toarray()
    assert np.diag(gram).mean() == pytest.approx(1.0, abs=0.05)
    assert abs(gram[~np.eye(400, dtype=bool)].mean()) < 0.01


def test_seeds_differ_and_repeat() -> None:
    np.testing.assert_array_equal(fitted(1).item_vectors, fitted(1).item_vectors)
    assert not np.array_equal(fitted(1).item_vectors, fitted(2).item_vectors)


def test_nodes_without_a_relationship_have_zero_vectors() -> None:
    model = fitted(0)
    assert not model.user_vectors[3].any()
    assert not model.item_vectors[5].any()
    assert not model.source_vectors[5].any()
    assert np.isfinite(model.item_vectors).all()


@pytest.mark.parametrize("weights", ["", "0,0", "1,nan", "inf"])
def test_iteration_weights_without_a_meaning_are_refused(weights: str) -> None:
    with pytest.raises(ValueError, match="iteration_weights"):
        FastRPOptions.model_validate({"iteration_weights": weights})


def test_lists_can_be_given_as_text() -> None:
    options = FastRPOptions.model_validate(
        {"iteration_weights": "0,0.5,1", "relationships": "interactions,in_category"}
    )
    assert options.iteration_weights == (0.0, 0.5, 1.0)
    assert options.relationships == ("interactions", "in_category")


def test_scores_are_products_summed_over_the_evidence() -> None:
    model, evidence = fitted(0), made_data().evidence
    users = np.array([4, 0])
    expected = evidence[users].toarray() @ model.source_vectors @ model.item_vectors.T
    np.testing.assert_allclose(model.scores(users, sp.csr_matrix(evidence[users])), expected, 1e-4)
