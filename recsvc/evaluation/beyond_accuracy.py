"""How different the items of one list are."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.evaluation.metrics import CUTS

_CHUNK_VALUES = 10_000_000
"""Numbers held at once: lists times users."""


def diversity(
    items: Int64[NDArray[np.int64], "users k"],
    train: sp.csr_matrix,
    *,
    cuts: tuple[int, ...] = CUTS,
) -> dict[str, Float64[NDArray[np.float64], " users"]]:
    """How different the items of each list are: 1 − the mean cosine of its pairs, by `diversity@k`.

    An item's vector is its column of `train` as 0 and 1, so two items are alike where the same
    people have them. With x̂ the vectors at length 1 and n items in a list,

        diversity@k = 1 − (‖Σ_i x̂_i‖² − Σ_i ‖x̂_i‖²) / (n(n − 1))

    It is 0 where the same people have all items of the list, 1 where nobody has two of them, and 0
    for a list of fewer than two items. This is 1 − the intra-list similarity of Ziegler, McNee,
    Konstan & Lausen 2005, "Improving recommendation lists through topic diversification", §3.3, as
    a mean over pairs.

    Args:
        items: the lists; -1 is no item.
        train: stored where a user has an item, [users, items]; items past its width have nobody.
        cuts: the k.
    """
    people = _unit_rows(train)
    owned = np.diff(people.indptr) > 0
    by_length = {k: np.zeros(len(items)) for k in sorted(cuts)}
    step = max(1, _CHUNK_VALUES // max(1, train.shape[0]))
    for begin in range(0, len(items), step):
        part = items[begin : begin + step]
        total = np.zeros((len(part), train.shape[0]), np.float32)
        done, alone = 0, np.zeros(len(part))
        for k, values in by_length.items():
            listed = _listed(part[:, done:k], len(owned))
            total += (listed @ people).toarray()
            alone += listed @ owned
            together = np.square(total, dtype=np.float64).sum(axis=1)
            count = (part[:, :k] >= 0).sum(axis=1)
            pairs = count * (count - 1)
            alike = np.divide(together - alone, pairs, out=np.ones(len(part)), where=pairs > 0)
            values[begin : begin + step] = 1.0 - alike
            done = k
    return {f"diversity@{k}": values for k, values in by_length.items()}


def _unit_rows(train: sp.csr_matrix) -> sp.csr_matrix:
    """The people of each item as a vector of length 1, float32 [items, users]."""
    owned = sp.csr_matrix(train.T)
    count = np.diff(owned.indptr)
    length = (1.0 / np.sqrt(np.repeat(count, count))).astype(np.float32)
    return sp.csr_matrix((length, owned.indices, owned.indptr), shape=owned.shape)


def _listed(items: Int64[NDArray[np.int64], "users k"], width: int) -> sp.csr_matrix:
    """1 for each item of each list that is one of the first `width`, float32 [users, width]."""
    user, place = np.nonzero((items >= 0) & (items < width))
    ones = np.ones(len(user), np.float32)
    return sp.csr_matrix((ones, (user, items[user, place])), shape=(len(items), width))
