"""The prior: how many people did something with an item."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from numpy.typing import NDArray


def popularity_prior(evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], " items"]:
    """log(1 + number of users), scaled to a root mean square of 1.

    Args:
        evidence: weights of all users, [users, items].
    """
    prior = np.log1p(np.bincount(evidence.indices, minlength=evidence.shape[1]))
    rms = float(np.sqrt(np.mean(np.square(prior)))) if len(prior) else 0.0
    return (prior / rms if rms else prior).astype(np.float32)
