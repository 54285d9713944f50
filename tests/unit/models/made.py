"""Small made evidence that the tests of models share."""

import numpy as np
import scipy.sparse as sp

USERS, ITEMS = 15, 22


def made_evidence(*, weighted: bool = True) -> sp.csr_matrix:
    """Random evidence; user 3 and item 5 have none."""
    generator = np.random.default_rng(0)
    dense = (generator.random((USERS, ITEMS)) < 0.25) * generator.uniform(0.1, 3.0, (USERS, ITEMS))
    dense[3], dense[:, 5] = 0.0, 0.0
    return sp.csr_matrix(dense if weighted else dense > 0, dtype=np.float32)
