# pyright: basic
# numba's decorators are untyped: a compiled function has no type.
"""How much the things that somebody has are had together by others."""

from typing import no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64
from numpy.typing import NDArray

from recsvc.signals.rows import truncate_rows

_MOST = 2000
"""Neighbours of a node that are looked at, the ones with the largest weights: the work is at most
that many times the number of relationships."""


def homophily(evidence: sp.csr_matrix) -> Float64[NDArray[np.float64], " rows"]:
    """Of each row, the share of its pairs of columns that another row has too.

        h_u = |{(j, i) : j ≠ i ∈ N_u, some v ≠ u has both}| / (|N_u| (|N_u| − 1))

    and 0 of a row with fewer than two columns (Peng et al. 2024, "How powerful is graph filtering
    for recommendation", as in the authors' code).

    Args:
        evidence: its stored entries count, whatever their values.
    """
    looked_at = truncate_rows(evidence, _MOST)[0]
    count = np.diff(looked_at.indptr).astype(np.float64)
    by_column = looked_at.tocsc()
    together = np.zeros(len(count), np.int64)
    _count_shared_pairs(
        looked_at.indptr, looked_at.indices, by_column.indptr, by_column.indices,
        np.zeros(looked_at.shape[1], np.int64), together,
    )  # fmt: skip
    return together / np.maximum(count * (count - 1.0), 1.0)


@no_type_check  # numba compiles it: a run-time type checker must not wrap it
@numba.njit(cache=True, nogil=True)
def _count_shared_pairs(begin, column, row_begin, row, rows_with_both, together):
    """For each row, how many ordered pairs of its columns are in another row as well."""
    for first in range(len(row_begin) - 1):
        owners = row[row_begin[first] : row_begin[first + 1]]
        for owner in owners:
            for place in range(begin[owner], begin[owner + 1]):
                rows_with_both[column[place]] += 1
        for owner in owners:
            for place in range(begin[owner], begin[owner + 1]):
                second = column[place]
                together[owner] += second != first and rows_with_both[second] > 1
        for owner in owners:
            for place in range(begin[owner], begin[owner + 1]):
                rows_with_both[column[place]] = 0
