"""The items whose vectors point most nearly the same way."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from usearch.index import Index

from recsvc.signals.embedding import inverse_lengths

_ALL_PAIRS = 40_000
"""Up to so many vectors all pairs are compared; past it an index takes less time. Of 17,632 vectors
of 64 numbers all pairs take 0.6 s of processor time, an index 1.6 to 4.5."""
_LINKS, _EXPANSION, _MORE = 16, 96, 8
"""Of the index: links of a vector, candidates while it is built and asked; and how many more
neighbours are asked for than are wanted, to be put in order by exact cosines."""
_ASKED_AT_ONCE = 4096
_GROUP = 32
"""Columns of which the largest value is looked at first."""

_Found = tuple[Int64[NDArray[np.int64], "able k"], Float32[NDArray[np.float32], "able k"]]
"""The nearest rows of each row, best first, -1 for one that is missing; and the cosines."""


def nearest_items(
    vectors: Float32[NDArray[np.float32], "items dim"],
    k: int,
    *,
    chunk: int = 64,
    told: Callable[[int], None] = lambda _done: None,
) -> tuple[Int64[NDArray[np.int64], "items k"], Float32[NDArray[np.float32], "items k"]]:
    """The k nearest other rows of each row, by cosine.

    Of more than 40,000 rows they are found in a graph of near vectors (Malkov & Yashunin 2018,
    "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
    world graphs"), which now and then misses one; their cosines are exact.

    Args:
        vectors: one row per item.
        k: how many.
        chunk: rows at a time; few fit into the cache of a processor, and take half the time.
        told: how many rows are done.

    Returns:
        Rows, best first (ties: smaller row), -1 where a vector of length 0 is on either side; and
        the cosines.
    """
    k = min(k, len(vectors) - 1)
    able = np.flatnonzero(vectors.any(axis=1))
    unit = vectors[able] * inverse_lengths(vectors[able])[:, None]
    neighbours = np.full((len(vectors), k), -1, np.int64)
    scores = np.zeros((len(vectors), k), np.float32)
    if len(able) > _ALL_PAIRS:
        near, cosine = _by_index(unit, k, told)
    else:
        near, cosine = _among_all(unit, min(k, len(able) - 1), chunk, told)
    is_neighbour = near >= 0
    columns = slice(near.shape[1])
    neighbours[able, columns] = np.where(is_neighbour, able[near], -1)
    scores[able, columns] = np.where(is_neighbour, cosine, 0.0)
    return neighbours, scores


def _among_all(
    unit: Float32[NDArray[np.float32], "able dim"], k: int, chunk: int, told: Callable[[int], None]
) -> _Found:
    """The k nearest of each row, by comparing all pairs."""
    near = np.zeros((len(unit), max(k, 0)), np.int64)
    scores = np.zeros(near.shape, np.float32)
    for start in range(0, len(unit) if k > 0 else 0, chunk):
        told(start)
        rows = np.arange(start, min(start + chunk, len(unit)))
        cosine = unit[rows] @ unit.T
        cosine[np.arange(len(rows)), rows] = -np.inf
        top = _largest(cosine, k)
        value = np.take_along_axis(cosine, top, 1)
        order = np.argsort(-value, axis=1, kind="stable")
        near[rows] = np.take_along_axis(top, order, 1)
        scores[rows] = np.take_along_axis(value, order, 1)
    return near, scores


def _by_index(
    unit: Float32[NDArray[np.float32], "able dim"], k: int, told: Callable[[int], None]
) -> _Found:
    """The same by way of an index. One thread builds it, so that it is the same each time."""
    index = Index(
        ndim=unit.shape[1], metric="ip", dtype="f32", connectivity=_LINKS,
        expansion_add=_EXPANSION, expansion_search=_EXPANSION,
    )  # fmt: skip
    near, scores = np.empty((len(unit), k), np.int64), np.empty((len(unit), k), np.float32)
    parts = np.split(np.arange(len(unit)), range(_ASKED_AT_ONCE, len(unit), _ASKED_AT_ONCE))
    for rows in parts:
        told(int(rows[0]) // 2)
        index.add(rows, unit[rows], threads=1)
    for rows in parts:
        told((len(unit) + int(rows[0])) // 2)
        asked = _asked(index, unit[rows], rows, k + 1 + _MORE)
        cosine = np.einsum("nd,nmd->nm", unit[rows], unit[asked])
        cosine[asked == rows[:, None]] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        scores[rows] = np.take_along_axis(cosine, order, 1)
        near[rows] = np.where(np.isneginf(scores[rows]), -1, np.take_along_axis(asked, order, 1))
    return near, scores


def _asked(
    index: Index,
    vectors: Float32[NDArray[np.float32], "n dim"],
    rows: Int64[NDArray[np.int64], " n"],
    count: int,
) -> Int64[NDArray[np.int64], "n count"]:
    """So many rows near each vector, ascending; its own row in the place of each one missing."""
    matches = index.search(vectors, count)
    near = np.array(matches.keys, np.int64).reshape(len(rows), -1)
    counts = np.atleast_1d(getattr(matches, "counts", near.shape[1]))
    missing = np.arange(near.shape[1])[None, :] >= counts[:, None]
    return np.sort(np.where(missing, rows[:, None], near), axis=1)


def _largest(
    values: Float32[NDArray[np.float32], "rows columns"], k: int
) -> Int64[NDArray[np.int64], "rows k"]:
    """Columns of the k largest of each row, ascending.

    None of them is outside the k groups of columns whose largest values are largest; finding those
    takes one pass that goes through vector registers, where partitioning a row takes ten times as
    long.
    """
    groups = values.shape[1] // _GROUP
    whole = groups * _GROUP
    columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    if groups > k:
        # A group is every `groups`-th column.
        best = values[:, :whole].reshape(-1, _GROUP, groups).max(axis=1)
        group = np.argpartition(-best, k - 1, axis=1)[:, :k]
        members = (group[:, :, None] + groups * np.arange(_GROUP)).reshape(len(values), -1)
        rest = np.broadcast_to(
            np.arange(whole, values.shape[1]), (len(values), values.shape[1] - whole)
        )
        columns = np.sort(np.concatenate([members, rest], axis=1), axis=1)
    candidates = np.take_along_axis(values, columns, 1)
    top = np.argpartition(-candidates, k - 1, axis=1)[:, :k]
    return np.sort(np.take_along_axis(columns, top, 1), axis=1)
