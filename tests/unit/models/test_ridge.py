"""Ridge regression as a filter beside the inverse written out."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models import FitRun
from recsvc.models.ridge import RidgeOptions, fit, resolved
from tests.unit.models.filters import assert_kernel, dense_power, training_data
from tests.unit.models.made import made_evidence


def dense_kernel(evidence: np.ndarray, options: RidgeOptions) -> np.ndarray:
    assert options.l2 is not None
    assert options.popularity is not None
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


@pytest.mark.parametrize("l2", [0.01, 0.05, 0.2, 0.31, 3.2, 100.0])
def test_its_rows_are_made_over_items_that_share_a_user(l2: float) -> None:
    model, _ = fit(training_data(made_evidence()), RidgeOptions(l2=l2, rank=5), FitRun(seed=0))
    assert model.kernel.is_linear


@pytest.mark.parametrize("l2", [0.05, 0.8])
def test_of_few_vectors_the_filter_is_a_line_below_them(l2: float) -> None:
    evidence = made_evidence(weighted=True)
    options = RidgeOptions(l2=l2, rank=5, user_exponent=0.0, item_exponent=0.0, popularity=0.0)
    model, _ = fit(training_data(evidence), options, FitRun(seed=0))
    weight = evidence.toarray().astype(np.float64)
    mean = weight.sum(axis=1) / np.maximum((weight > 0).sum(axis=1), 1)
    matrix = weight * dense_power(mean, -1.0)[:, None]
    values, vectors = np.linalg.eigh(matrix.T @ matrix / np.linalg.norm(matrix, 2) ** 2)
    fifth = values[-5]
    line = values / (fifth + l2)
    filtered = np.where(values >= fifth, values / (values + l2), line)
    assert_kernel(model, (vectors * filtered) @ vectors.T, evidence)


def test_who_plays_more_is_not_worth_more() -> None:
    """A user's weights count among each other: five times as many plays of each change nothing."""
    evidence = made_evidence(weighted=True)
    louder = evidence.copy()
    louder.data[louder.indptr[4] : louder.indptr[5]] *= 5.0
    one, other = (
        fit(training_data(e), RidgeOptions(l2=0.2), FitRun(0))[0] for e in (evidence, louder)
    )
    assert evidence[4].nnz
    everybody = np.arange(evidence.shape[0])
    np.testing.assert_allclose(
        one.scores(everybody, evidence), other.scores(everybody, evidence), rtol=1e-4, atol=1e-6
    )


def made_blocks(noise: float) -> sp.csr_matrix:
    """Six groups with a taste of their own, and things done by lot."""
    generator = np.random.default_rng(1)
    taste = np.kron(np.eye(6), np.ones((40, 15)))
    had = (taste * generator.random(taste.shape) < 0.5) & (taste > 0)
    return sp.csr_matrix(had | (generator.random(taste.shape) < noise), dtype=np.float32)


def test_what_is_left_open_is_chosen_by_what_is_found_again() -> None:
    """The kernel is that of the best of all choices, measured here by hand."""
    evidence = made_blocks(0.05)
    mask = hold_out(evidence, 0.2, seed=3)
    kept, held_out = entries(evidence, ~mask), entries(evidence, mask)
    ndcg_of: dict[tuple[float, float], float] = {}
    for l2 in (0.05, 0.2, 0.8, 3.2):
        for popularity in (0.0, 0.25):
            options = RidgeOptions(l2=l2, popularity=popularity)
            model, _ = fit(training_data(kept), options, FitRun(seed=3))
            ndcg_of[l2, popularity] = mean_ndcg(model.scores, kept, held_out)
    assert max(ndcg_of.values()) > min(ndcg_of.values()) + 0.01
    l2, popularity = max(ndcg_of, key=ndcg_of.__getitem__)
    chosen, _ = fit(training_data(evidence), RidgeOptions(), FitRun(seed=3))
    best, _ = fit(
        training_data(evidence), RidgeOptions(l2=l2, popularity=popularity), FitRun(seed=3)
    )
    everybody = np.arange(evidence.shape[0])
    np.testing.assert_array_equal(
        chosen.scores(everybody, evidence), best.scores(everybody, evidence)
    )


def test_a_given_option_is_not_chosen() -> None:
    evidence = made_blocks(0.05)
    given, chosen = (
        resolved(training_data(evidence), options, 3)
        for options in (RidgeOptions(l2=50.0), RidgeOptions())
    )
    assert given.l2 == 50.0
    assert chosen.l2 in (0.05, 0.2, 0.8, 3.2)
