"""From scores to a list: filters, the k best, ties by item id."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray


def best_items(
    scores: Float32[NDArray[np.float32], " items"],
    allowed: Bool[NDArray[np.bool_], " items"],
    count: int,
) -> Int64[NDArray[np.int64], " k"]:
    """The `count` allowed items with the highest scores, best first; ties: smaller row first.

    Args:
        scores: one score per item.
        allowed: which items may be ranked.
        count: how many at most.

    Returns:
        Rows of items; fewer than `count` only when fewer are allowed.
    """
    rows = np.flatnonzero(allowed)
    candidates = scores[rows]
    if 0 < count < len(rows):
        threshold = np.partition(candidates, len(rows) - count)[len(rows) - count]
        rows = rows[candidates >= threshold]
        candidates = scores[rows]
    return rows[np.lexsort((rows, -candidates))][:count]


def sort_by_score(
    items: Int64[NDArray[np.int64], " k"], scores: Float64[NDArray[np.float64], " k"]
) -> Int64[NDArray[np.int64], " k"]:
    """Positions of `items`, highest score first; ties: smaller row first."""
    return np.lexsort((items, -scores))
