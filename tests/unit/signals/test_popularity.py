"""The prior, of planted counts."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.signals.popularity import popularity_prior

COUNTS = [3, 1, 0, 1]
EVIDENCE = sp.csr_matrix(np.array([[5, 0, 0, 2], [1, 9, 0, 0], [1, 0, 0, 0]], np.float32))


def test_it_is_the_logarithm_of_how_many_users_have_an_item_at_a_root_mean_square_of_1() -> None:
    prior = popularity_prior(EVIDENCE)
    wanted = np.log1p(COUNTS)
    np.testing.assert_allclose(prior, wanted / np.sqrt(np.mean(wanted**2)), rtol=1e-6)
    assert np.sqrt(np.mean(prior**2)) == pytest.approx(1.0)
    assert prior.dtype == np.float32


@pytest.mark.parametrize("shape", [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_without_any_evidence_it_is_0(shape: tuple[int, int]) -> None:
    prior = popularity_prior(sp.csr_matrix(shape, dtype=np.float32))
    np.testing.assert_array_equal(prior, np.zeros(shape[1], np.float32))
