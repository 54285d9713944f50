import numpy as np
import pytest

from recsvc.models import FitRun
from recsvc.models import _rows as rows_module
from recsvc.models.itemknn import ItemKNNOptions, fit
from tests.unit.models.filters import assert_kernel, training_data
from tests.unit.models.made import made_evidence


def dense_kernel(evidence: np.ndarray, neighbours: int, shrinkage: float) -> np.ndarray:
    items = evidence.shape[1]
    kernel = np.zeros((items, items))
    for j in range(items):
        for i in range(items):
            if i != j:
                product = evidence[:, j] @ evidence[:, i]
                lengths = np.linalg.norm(evidence[:, j]) * np.linalg.norm(evidence[:, i])
                kernel[j, i] = product / (lengths + shrinkage) if product else 0.0
        kernel[j, np.argsort(-kernel[j], kind="stable")[neighbours:]] = 0.0
    return kernel


@pytest.mark.parametrize("shrinkage", [0.0, 4.0])
@pytest.mark.parametrize("neighbours", [3, 100])
def test_the_kernel_is_the_formula(neighbours: int, shrinkage: float) -> None:
    evidence = made_evidence()
    options = ItemKNNOptions(neighbours=neighbours, shrinkage=shrinkage)
    model, _ = fit(training_data(evidence), options, FitRun(seed=0))
    expected = dense_kernel(evidence.toarray().astype(np.float64), neighbours, shrinkage)
    assert_kernel(model, expected, evidence)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = made_evidence()
    whole, _ = fit(training_data(evidence), ItemKNNOptions(neighbours=4), FitRun(seed=0))
    monkeypatch.setattr(rows_module, "_ITEMS_AT_ONCE", 5)
    parts, _ = fit(training_data(evidence), ItemKNNOptions(neighbours=4), FitRun(seed=0))
    np.testing.assert_array_equal(parts.rows.toarray(), whole.rows.toarray())
