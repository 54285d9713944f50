"""Ridge regression as a filter beside the inverse written out."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.models import FitRun
from recsvc.models.ridge import RidgeOptions, fit, ridge_series
from tests.unit.models.filters import assert_kernel, dense_power, training_data
from tests.unit.models.made import made_evidence


def dense_kernel(evidence: np.ndarray, options: RidgeOptions) -> np.ndarray:
    had = evidence > 0
    mean = evidence.sum(axis=1) / np.maximum(had.sum(axis=1), 1)
    relative = evidence * dense_power(mean, -1.0)[:, None]
    items = relative.sum(axis=0)
    count = had.sum(axis=1).astype(np.float64)
    inside = dense_power(items, -options.item_exponent)
    matrix = dense_power(count, -options.user_exponent)[:, None] * relative * inside
    gram = matrix.T @ matrix / np.linalg.norm(matrix, 2) ** 2
    exact = np.linalg.solve(gram + options.l2 * np.eye(len(gram)), gram)
    return inside[:, None] * exact * dense_power(items, options.popularity)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        RidgeOptions(l2=0.2, popularity=0.0),
        RidgeOptions(l2=0.02, user_exponent=0.0, item_exponent=0.5, popularity=0.5),
        RidgeOptions(l2=50.0, user_exponent=0.5, item_exponent=0.0, popularity=0.1),
    ],
)
def test_the_kernel_is_the_formula(weighted: bool, options: RidgeOptions) -> None:
    evidence = made_evidence(weighted=weighted)
    model, _ = fit(training_data(evidence), options, FitRun(seed=0))
    assert_kernel(model, dense_kernel(evidence.toarray().astype(np.float64), options), evidence)


@pytest.mark.parametrize("l2", [0.01, 0.2, 3.0, 100.0])
def test_the_series_is_near_the_filter(l2: float) -> None:
    x = np.linspace(0.0, 1.0, 1001)
    series = np.polynomial.Chebyshev(ridge_series(l2), domain=[0.0, 1.0])
    np.testing.assert_allclose(series(x), x / (x + l2), atol=1e-5)


def test_who_plays_more_is_not_worth_more() -> None:
    """A user's weights count among each other: five times as many plays of each change nothing."""
    evidence = made_evidence(weighted=True)
    louder = evidence.copy().tolil()
    louder[4] = 5.0 * evidence[4]
    one, other = (
        fit(training_data(sp.csr_matrix(e, dtype=np.float32)), RidgeOptions(l2=0.2), FitRun(0))[0]
        for e in (evidence, louder)
    )
    assert louder[4].nnz
    everybody = np.arange(evidence.shape[0])
    np.testing.assert_allclose(
        one.scores(everybody, evidence), other.scores(everybody, evidence), rtol=1e-4, atol=1e-6
    )
