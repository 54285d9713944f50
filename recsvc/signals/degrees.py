"""Degrees of nodes, and powers of them that leave out nodes without any."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64
from numpy.typing import NDArray


def degrees(matrix: sp.csr_matrix, axis: int) -> Float64[NDArray[np.float64], " nodes"]:
    """Sum of each column (axis 0) or row (axis 1)."""
    return np.asarray(matrix.sum(axis=axis), np.float64).ravel()


def power(
    degree: Float64[NDArray[np.float64], " nodes"], exponent: float
) -> Float64[NDArray[np.float64], " nodes"]:
    """degree^exponent, and 0 where there is no degree."""
    return np.power(degree, exponent, where=degree > 0.0, out=np.zeros_like(degree))
