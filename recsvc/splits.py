"""Which interactions are held out."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from loaders.types import Interactions


def hold_out(
    interactions: Interactions | sp.csr_matrix,
    fraction: float = 0.2,
    *,
    minimum: int = 5,
    seed: int,
) -> Bool[NDArray[np.bool_], " edges"]:
    """Hold out a random part of each user's items.

    A user with n different items loses round(n · fraction) of them (half to even), and always
    keeps at least one. All interactions of a user with an item go the same way, whatever their
    event, so that nothing held out can be read off what is left.

    Args:
        interactions: relationships, or a matrix [users, items] whose stored entries they are.
        fraction: share to hold out, above 0 and below 1.
        minimum: users with fewer different items keep them all.
        seed: decides which.

    Returns:
        True where held out; one entry per relationship, or per stored entry of the matrix.

    Raises:
        ValueError: the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction is {fraction}, expected above 0 and below 1")
    users, items = _pairs(interactions)
    if not len(users):
        return np.zeros(0, np.bool_)
    width = int(items.max()) + 1
    pairs, edge_pair = np.unique(users * width + items, return_inverse=True)
    return _held_out_pairs(pairs // width, fraction, minimum, seed)[edge_pair]


def entries(matrix: sp.csr_matrix, mask: Bool[NDArray[np.bool_], " edges"]) -> sp.csr_matrix:
    """A matrix of the same shape with only the stored entries where `mask` is true."""
    count = np.concatenate([[0], np.cumsum(mask)])
    return sp.csr_matrix(
        (matrix.data[mask], matrix.indices[mask], count[matrix.indptr]), shape=matrix.shape
    )


def _pairs(
    interactions: Interactions | sp.csr_matrix,
) -> tuple[Int64[NDArray[np.int64], " edges"], Int64[NDArray[np.int64], " edges"]]:
    if isinstance(interactions, Interactions):
        return interactions.user_index, interactions.item_index
    users = np.repeat(np.arange(interactions.shape[0]), np.diff(interactions.indptr))
    return users, interactions.indices.astype(np.int64)


def _held_out_pairs(
    user: Int64[NDArray[np.int64], " pairs"], fraction: float, minimum: int, seed: int
) -> Bool[NDArray[np.bool_], " pairs"]:
    """The same for different pairs that are sorted by user."""
    order = np.lexsort((np.random.default_rng(seed).random(len(user)), user))
    _, begin, count = np.unique(user, return_index=True, return_counts=True)
    rank = np.arange(len(user)) - np.repeat(begin, count)
    wanted = np.minimum(np.rint(count * fraction).astype(np.int64), count - 1)
    wanted[count < minimum] = 0
    mask = np.zeros(len(user), np.bool_)
    mask[order] = rank < np.repeat(wanted, count)
    return mask
