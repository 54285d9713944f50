import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.errors import TrainingError
from recsvc.models import MODELS, FitRun
from recsvc.models import ease as ease_module
from recsvc.models.ease import EASEOptions, fit, memory_bytes
from tests.unit.models.filters import assert_kernel, training_data
from tests.unit.models.made import made_evidence


@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_is_the_formula(weighted: bool) -> None:
    evidence = made_evidence(weighted=weighted)
    model, _ = fit(training_data(evidence), EASEOptions(l2=3.0), FitRun(seed=0))
    dense = evidence.toarray().astype(np.float64)
    p = np.linalg.inv(dense.T @ dense + 3.0 * np.eye(dense.shape[1]))
    expected = np.eye(len(p)) - p / np.diag(p)
    assert_kernel(model, expected, evidence)


def test_each_column_is_the_ridge_regression_of_an_item_on_the_others() -> None:
    evidence = made_evidence()
    model, _ = fit(training_data(evidence), EASEOptions(l2=3.0), FitRun(seed=0))
    dense = evidence.toarray().astype(np.float64)
    others = np.delete(np.arange(dense.shape[1]), 4)
    x = dense[:, others]
    expected = np.linalg.solve(x.T @ x + 3.0 * np.eye(len(others)), x.T @ dense[:, 4])
    np.testing.assert_allclose(model.kernel[others, 4], expected, atol=1e-5)
    assert model.kernel[4, 4] == 0.0


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = training_data(sp.csr_matrix(np.eye(3, 20_000, dtype=np.float32)))
    monkeypatch.setattr("recsvc.models.available_bytes", lambda _device: 2**31)
    monkeypatch.setattr(ease_module, "_kernel", lambda *_: pytest.fail("it was tried"))
    with pytest.raises(TrainingError, match=r"about 7\.45 GiB .* 20,000 items, .* 2\.00 GiB are"):
        MODELS["ease"].fit(data, EASEOptions(), FitRun(seed=0))


def test_the_estimate_counts_pairs_of_items() -> None:
    data = training_data(sp.csr_matrix(np.eye(3, 100, dtype=np.float32)))
    assert memory_bytes(data, EASEOptions()) == 20 * 100 * 100
