import numpy as np
import pytest

from recsvc.models import FitRun
from recsvc.models._spectral import normalised, singular_vectors
from recsvc.models.gfcf import GFCFOptions, fit
from tests.unit.models.filters import (
    assert_kernel,
    dense_normalised,
    dense_power,
    low_pass,
    training_data,
)
from tests.unit.models.made import made_evidence


@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_is_the_formula(weighted: bool) -> None:
    evidence = made_evidence(weighted=weighted)
    model, _ = fit(training_data(evidence), GFCFOptions(alpha=0.4, rank=5), FitRun(seed=0))
    dense = evidence.toarray().astype(np.float64)
    matrix = dense_normalised(dense, 0.5, 0.5)
    items = dense.sum(axis=0)
    ideal = (
        np.diag(dense_power(items, -0.5)) @ low_pass(matrix, 5) @ np.diag(dense_power(items, 0.5))
    )
    assert_kernel(model, matrix.T @ matrix + 0.4 * ideal, evidence)


def test_a_rank_above_what_there_is_takes_all_there_is() -> None:
    evidence = made_evidence()
    matrix = normalised(evidence, 0.5, 0.5)
    vectors = singular_vectors(matrix, 1000, seed=0)
    assert vectors.shape == (22, np.linalg.matrix_rank(matrix.toarray()))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), atol=1e-4)


@pytest.mark.parametrize("turned", [False, True])
def test_the_iteration_finds_the_singular_vectors_of_a_dense_svd(turned: bool) -> None:
    generator = np.random.default_rng(0)
    dense = generator.random((300, 500)) < 0.02 + 0.4 * (generator.random(500) < 0.05)
    dense = dense.T if turned else dense
    matrix = normalised(type(made_evidence())(dense.astype(np.float32)), 0.5, 0.5)
    vectors = singular_vectors(matrix, 12, seed=0)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(12), atol=1e-4)
    exact = np.linalg.svd(matrix.toarray())[2][:12].T
    values = np.linalg.svd(matrix.toarray(), compute_uv=False)[:12]
    np.testing.assert_allclose(np.linalg.norm(matrix @ vectors, axis=0), values, atol=1e-3)
    assert np.linalg.svd(exact[:, :8].T @ vectors, compute_uv=False).min() > 0.999


def test_the_search_tells_how_far_it_has_come() -> None:
    generator = np.random.default_rng(0)
    dense = (generator.random((300, 500)) < 0.05).astype(np.float32)
    told: list[tuple[int, int]] = []
    matrix = normalised(type(made_evidence())(dense), 0.5, 0.5)
    singular_vectors(matrix, 12, seed=0, tolerance=1e-5, told=lambda *each: told.append(each))
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert done[-1] <= told[-1][1]


def test_the_seed_decides_the_start() -> None:
    generator = np.random.default_rng(0)
    matrix = normalised(
        type(made_evidence())((generator.random((200, 300)) < 0.05).astype(np.float32)), 0.5, 0.5
    )
    first, again, other = (singular_vectors(matrix, 8, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
