import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.models import FitRun
from recsvc.models._homophily import homophily
from recsvc.models.sgfcf import OwnFilterModel, SGFCFOptions, fit
from tests.unit.models.filters import (
    assert_kernel,
    dense_normalised,
    dense_power,
    training_data,
)
from tests.unit.models.made import made_evidence

LOW, SPREAD, EPSILON, GAMMA, RANK = 0.4, 1.3, 0.3, 0.7, 6


def shared_pairs(owned: np.ndarray) -> np.ndarray:
    """Homophily of the rows, pair by pair."""
    found = []
    for row, own in enumerate(owned):
        others = np.delete(owned, row, axis=0)
        columns = np.flatnonzero(own)
        pairs = [(others[:, j] & others[:, i]).any() for j in columns for i in columns if j != i]
        found.append(np.mean(pairs) if pairs else 0.0)
    return np.array(found)


def betas(owned: np.ndarray) -> np.ndarray:
    share = shared_pairs(owned)
    return LOW + SPREAD * (share - share.min()) / (share.max() - share.min())


def dense_parts(evidence: np.ndarray) -> tuple[np.ndarray, ...]:
    """Left vectors, σ as shares, right vectors, and the two steps."""
    matrix = dense_normalised(evidence, EPSILON, EPSILON)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    matrix /= s[0]
    return u[:, :RANK], (s / s[0])[:RANK], vt[:RANK].T, matrix @ matrix.T @ matrix


def fitted(evidence: sp.csr_matrix, **values: object):
    options = {
        "rank": RANK, "exponent": EPSILON, "beta": LOW, "beta_spread": SPREAD, "gamma": GAMMA,
    }  # fmt: skip
    options |= values
    return fit(training_data(evidence), SGFCFOptions.model_validate(options), FitRun(seed=0))[0]


def test_homophily_is_the_share_of_pairs_that_somebody_else_has() -> None:
    evidence = made_evidence()
    owned = evidence.toarray() > 0
    expected = shared_pairs(owned)
    assert 0.0 < np.median(expected) < 1.0
    np.testing.assert_allclose(homophily(evidence), expected)
    np.testing.assert_allclose(homophily(sp.csr_matrix(evidence.T)), shared_pairs(owned.T))


def test_of_very_many_items_those_with_the_largest_weights_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recsvc.models._homophily._MOST", 2)
    evidence = np.array([[3, 2, 1], [3, 2, 0], [1, 0, 2], [0, 0, 1]], np.float32)
    np.testing.assert_array_equal(homophily(sp.csr_matrix(evidence)), [1, 1, 0, 0])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_is_the_formula(weighted: bool) -> None:
    evidence = made_evidence(weighted=weighted)
    dense = evidence.toarray().astype(np.float64)
    left, sigma, right, steps = dense_parts(dense)
    owned = dense > 0
    beta = betas(owned)[owned.any(axis=1)].mean()
    target = right * sigma ** betas(owned.T)[:, None]
    balance = ((left * sigma**beta) @ target.T).sum() / steps.sum()
    matrix = dense_normalised(dense, EPSILON, EPSILON)
    scale = np.linalg.svd(matrix, compute_uv=False)[0]
    kernel = np.diag(dense_power(dense.sum(axis=0), -EPSILON)) @ (
        (right * sigma ** (beta - 1)) @ target.T + GAMMA * balance * matrix.T @ matrix / scale**2
    )
    assert_kernel(fitted(evidence), kernel, evidence)


def test_own_filters_are_the_published_formula() -> None:
    evidence = made_evidence()
    dense = evidence.toarray().astype(np.float64)
    left, sigma, right, steps = dense_parts(dense)
    owned = dense > 0
    smooth = (left * sigma ** betas(owned)[:, None]) @ (right * sigma ** betas(owned.T)[:, None]).T
    some = owned.any(axis=1)
    expected = smooth[some] / smooth[some].sum(axis=1, keepdims=True)
    expected += GAMMA * steps[some] / steps[some].sum(axis=1, keepdims=True)
    model = fitted(evidence, own_filter=True)
    users = np.flatnonzero(some)
    np.testing.assert_allclose(model.scores(users, evidence[users]), expected, rtol=1e-3, atol=1e-5)
    nothing = np.flatnonzero(~some)
    np.testing.assert_array_equal(model.scores(nothing, evidence[nothing]), 0.0)


def test_what_a_blend_takes_is_linear_with_own_filters_too() -> None:
    evidence = made_evidence()
    own, shared = fitted(evidence, own_filter=True), fitted(evidence)
    assert isinstance(own, OwnFilterModel)
    items = training_data(evidence).graph.items
    for each in (own, shared):
        kernel = each.signal(items).kernel
        assert kernel.is_linear
        np.testing.assert_array_equal(kernel.source, shared.kernel.source)
        np.testing.assert_array_equal(kernel.after, shared.kernel.after)


def test_without_spread_and_normalisation_of_users_only_the_balance_is_their_own() -> None:
    """Without γ the order of the items is then that of the kernel."""
    evidence = made_evidence(weighted=False)
    own, shared = (
        fitted(evidence, beta_spread=0.0, gamma=0.0, own_filter=each) for each in (True, False)
    )
    users = np.flatnonzero(np.diff(evidence.indptr))
    expected = shared.scores(users, evidence[users])
    expected = expected / expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(own.scores(users, evidence[users]), expected, rtol=1e-3, atol=1e-5)
