import numpy as np
import pytest

from recsvc.models import FitRun
from recsvc.models.turbocf import TurboCFOptions, fit
from tests.unit.models.filters import assert_kernel, dense_normalised, training_data
from tests.unit.models.made import made_evidence


@pytest.mark.parametrize("filter_name", ["linear", "second_order", "ideal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_is_the_formula(filter_name: str, weighted: bool) -> None:
    evidence = made_evidence(weighted=weighted)
    options = TurboCFOptions(alpha=0.6, power=0.7, filter=filter_name)
    model, _ = fit(training_data(evidence), options, FitRun(seed=0))
    matrix = dense_normalised(evidence.toarray().astype(np.float64), 0.6, 0.4)
    p = (matrix.T @ matrix) ** 0.7
    kernel = {
        "linear": p,
        "second_order": 2 * p - p @ p,
        "ideal": p + 0.01 * (-p @ p @ p + 10 * p @ p - 29 * p),
    }[filter_name]
    assert_kernel(model, kernel, evidence)
