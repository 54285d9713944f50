"""From scores to a list: filters, the k best, ties by item id."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

_STACKED = 64
"""Scores of which only the largest is looked at for a first threshold."""


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
    ranked = np.where(allowed, scores, np.float32(-np.inf))
    rows = np.flatnonzero(allowed & (ranked >= _reached_by(ranked, count)))
    candidates = scores[rows]
    if 0 < count < len(rows):
        threshold = np.partition(candidates, len(rows) - count)[len(rows) - count]
        rows = rows[candidates >= threshold]
        candidates = scores[rows]
    return rows[np.lexsort((rows, -candidates))][:count]


def _reached_by(scores: Float32[NDArray[np.float32], " items"], count: int) -> np.float32:
    """A value that at least `count` scores reach, and not many more: -inf where none is found.

    The scores are dealt out to stacks. The largest of a stack is one score of its own, so the
    `count`-th largest of these is reached by as many, and a pass over the scores finds it.
    """
    stacks = len(scores) // _STACKED
    if not 0 < count <= stacks:
        return np.float32(-np.inf)
    largest = scores[: stacks * _STACKED].reshape(_STACKED, stacks).max(axis=0)
    return np.partition(largest, stacks - count)[stacks - count]


def sort_by_score(
    items: Int64[NDArray[np.int64], " k"], scores: Float64[NDArray[np.float64], " k"]
) -> Int64[NDArray[np.int64], " k"]:
    """Positions of `items`, highest score first; ties: smaller row first."""
    return np.lexsort((items, -scores))


def maximal_marginal_relevance(
    scores: Float64[NDArray[np.float64], " n"],
    vectors: Float64[NDArray[np.float64], "n dim"],
    k: int,
    weight: float,
    *,
    reach: Callable[[int], int] | None = None,
) -> tuple[Int64[NDArray[np.int64], " k"], Float64[NDArray[np.float64], " k"]]:
    """Maximal marginal relevance (Carbonell & Goldstein 1998, §2): one item after the other.

        next = argmax_i score_i - weight · max_{j chosen} max(0, cos(v_i, v_j))

    Args:
        scores: of the items to choose from, highest first where `reach` is given.
        vectors: what tells how alike two items are.
        k: how many to choose.
        weight: what an item loses that is just like one before it.
        reach: from how many of the first the n-th item is chosen; from all where None. So the
            choice for a smaller k is the beginning of that for a larger one, which has more to
            choose from.

    Returns:
        Positions in the order chosen (ties: smaller position), and how alike each one was to the
        items before it. The scores less `weight` times that never rise from one to the next.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    similarity = np.zeros(len(scores))
    left = np.ones(len(scores), bool)
    chosen: list[int] = []
    for number in range(1, min(k, len(scores)) + 1):
        near = slice(reach(number) if reach is not None else None)
        value = scores[near] - weight * similarity[near]
        best = int(np.argmax(np.where(left[near], value, -np.inf)))
        chosen.append(best)
        left[best] = False
        similarity[left] = np.maximum(similarity[left], unit[left] @ unit[best])
    return np.array(chosen, np.int64), similarity[chosen]
