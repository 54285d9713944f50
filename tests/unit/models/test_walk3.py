import numpy as np
import pytest

from recsvc.models import FitRun
from recsvc.models.walk3 import Walk3Options, fit
from tests.unit.models.filters import assert_kernel, dense_power, training_data
from tests.unit.models.made import made_evidence


def dense_kernel(evidence: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    users, items = evidence.sum(axis=1), evidence.sum(axis=0)
    return (
        np.diag(dense_power(items, -alpha))
        @ evidence.T
        @ np.diag(dense_power(users, -alpha))
        @ evidence
        @ np.diag(dense_power(items, -beta))
    )


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.7, 0.4), (0.0, 1.1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_is_the_formula(alpha: float, beta: float, weighted: bool) -> None:
    evidence = made_evidence(weighted=weighted)
    model, _ = fit(training_data(evidence), Walk3Options(alpha=alpha, beta=beta), FitRun(seed=0))
    assert_kernel(model, dense_kernel(evidence.toarray().astype(float), alpha, beta), evidence)


def test_alpha_of_one_is_the_chance_of_the_walk() -> None:
    evidence = made_evidence()
    model, _ = fit(training_data(evidence), Walk3Options(alpha=1.0, beta=0.0), FitRun(seed=0))
    chance = np.asarray(model.rows.sum(axis=1)).ravel()
    had = np.asarray(evidence.sum(axis=0)).ravel() > 0
    np.testing.assert_allclose(chance[had], 1.0, rtol=1e-5)


def test_the_largest_entries_are_kept() -> None:
    evidence = made_evidence()
    model, _ = fit(training_data(evidence), Walk3Options(neighbours=3), FitRun(seed=0))
    expected = dense_kernel(evidence.toarray().astype(float), 0.7, 0.4)
    for row in expected:
        row[np.argsort(-row, kind="stable")[3:]] = 0.0
    assert_kernel(model, expected, evidence)
