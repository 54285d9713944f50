import numpy as np
import pytest

from recsvc.models import FitRun
from recsvc.models.chebycf import ChebyCFOptions, fit, plateau_series
from tests.unit.models.filters import (
    assert_kernel,
    dense_normalised,
    dense_power,
    low_pass,
    training_data,
)
from tests.unit.models.made import made_evidence


def interpolated(order: int, flatness: float, eigenvalues: np.ndarray) -> np.ndarray:
    """The polynomial through the plateau's values, by Lagrange's formula."""
    k = np.arange(order + 1)
    t = np.cos(k * np.pi / order)
    values = np.array([0.5 * (1 + np.sign(x) * abs(x) ** flatness) for x in t.round(12)])
    nodes = np.cos((k + 0.5) * np.pi / (order + 1))
    x = 2.0 * eigenvalues - 1.0
    total = np.zeros_like(x)
    for j in k:
        others = np.delete(nodes, j)
        total += values[j] * np.prod((x[:, None] - others) / (nodes[j] - others), axis=1)
    return total


@pytest.mark.parametrize("order", [1, 2, 7, 8])
@pytest.mark.parametrize("flatness", [0.5, 1.0, 15.0])
def test_the_series_is_the_interpolating_polynomial(order: int, flatness: float) -> None:
    eigenvalues = np.linspace(0.0, 1.0, 21)
    series = plateau_series(order, flatness)
    np.testing.assert_allclose(
        np.polynomial.Chebyshev(series, domain=[0.0, 1.0])(eigenvalues),
        interpolated(order, flatness, eigenvalues),
        atol=1e-9,
    )


@pytest.mark.parametrize("flatness", [0.5, 1.5, 15.0])
def test_an_even_order_costs_no_more_than_the_odd_one_before(flatness: float) -> None:
    assert len(plateau_series(8, flatness)) == 8


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", [1, 3, 8])
def test_the_kernel_is_the_formula(weighted: bool, order: int) -> None:
    evidence = made_evidence(weighted=weighted)
    options = ChebyCFOptions(order=order, flatness=3.0, rank=6, alpha=0.3, beta=0.4)
    model, _ = fit(training_data(evidence), options, FitRun(seed=0))
    dense = evidence.toarray().astype(np.float64)
    matrix = dense_normalised(dense, 0.5, 0.5)
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    polynomial = vectors @ np.diag(interpolated(order, 3.0, values)) @ vectors.T
    items = dense.sum(axis=0)
    kernel = (
        np.diag(dense_power(items, -0.4))
        @ (polynomial + 0.3 * low_pass(matrix, 6))
        @ np.diag(dense_power(items, 0.4))
    )
    assert_kernel(model, kernel, evidence)


@pytest.mark.parametrize("options", [{"rank": 0}, {"alpha": 0.0}])
def test_without_the_ideal_filter_no_vectors_are_looked_for(options: dict[str, float]) -> None:
    model, _ = fit(training_data(made_evidence()), ChebyCFOptions(**options), FitRun(seed=0))
    assert model.kernel.source.shape[1] == 0
