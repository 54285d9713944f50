"""Rows of a kernel that is two steps and a low-rank part, over the items that two steps reach."""
# numba ships no types; everything that leaves this module is annotated.
# pyright: basic

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from numpy.typing import NDArray

from recsvc.signals._selection import ascending, nth_largest

_ITEMS_AT_ONCE = 512

_Block = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], float]
"""The lengths of some rows, their columns and values one row after the other, and all weight."""


def two_step_rows(
    back: sp.csr_matrix,
    forth: sp.csr_matrix,
    source: Float32[NDArray[np.float32], "items rank"],
    target: Float32[NDArray[np.float32], "items rank"],
    size: int,
    told: Callable[[int], None] = lambda _done: None,
) -> tuple[sp.csr_matrix, float]:
    """K = back · forth + source · targetᵀ where back · forth is not 0, the largest of each row.

    The work is that of the sparse product (Gustavson 1978, "Two fast algorithms for sparse
    matrices"), row by row: neither the product nor anything else of items by items is held.

    Args:
        back: float32 [items, users].
        forth: float32 [users, items].
        source: low-rank part; its width may be 0.
        target: low-rank part.
        size: entries kept of each row, the largest whatever their sign; ties by the smaller column.
        told: how many rows are done.

    Returns:
        float32 [items, items]; and the share of the weight of the rows that was cut off.
    """
    n_items = back.shape[0]
    arrays = (
        back.indptr, back.indices, back.data, forth.indptr, forth.indices, forth.data,
        np.ascontiguousarray(source, np.float32), np.ascontiguousarray(target, np.float32),
    )  # fmt: skip

    def block(first: int) -> _Block:
        count = min(_ITEMS_AT_ONCE, n_items - first)
        columns = np.empty((count, size), np.int32)
        values = np.empty((count, size), np.float32)
        lengths = np.zeros(count, np.int64)
        total = _fill(*arrays, first, columns, values, lengths)
        filled = np.arange(size)[None, :] < lengths[:, None]
        return lengths, columns[filled], values[filled], total

    # numba's own parallel loops change how many threads torch uses in the same process.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts: list[_Block] = []
        for part in pool.map(block, range(0, n_items, _ITEMS_AT_ONCE)):
            parts.append(part)
            told(min(len(parts) * _ITEMS_AT_ONCE, n_items))
    lengths, columns, values, totals = zip(*parts, strict=True)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    data = np.concatenate(values)
    rows = sp.csr_matrix((data, np.concatenate(columns), indptr), shape=(n_items, forth.shape[1]))
    total = sum(totals)
    kept = float(np.abs(data).sum(dtype=np.float64))
    return rows, max(0.0, 1.0 - kept / total) if total else 0.0


@no_type_check  # numba compiles it: a run-time type checker must not wrap it
@numba.njit(cache=True, nogil=True)
def _fill(
    back_begin, back_user, back_value, forth_begin, forth_item, forth_value, source, target,
    first, columns, values, lengths,
):  # fmt: skip
    """Fill in the rows of some items; the absolute sum of all of their entries."""
    rank = source.shape[1]
    sums = np.zeros(len(target), np.float64)
    reached = np.zeros(len(target), np.bool_)
    touched = np.empty(len(target), np.int32)
    entry = np.empty(len(target), np.float32)
    total = 0.0
    for row in range(len(lengths)):
        item, count = first + row, 0
        for link in range(back_begin[item], back_begin[item + 1]):
            user, weight = back_user[link], np.float64(back_value[link])
            for other in range(forth_begin[user], forth_begin[user + 1]):
                column = forth_item[other]
                if not reached[column]:
                    reached[column] = True
                    touched[count] = column
                    count += 1
                sums[column] += weight * forth_value[other]
        for place in range(count):
            column = touched[place]
            low_rank = np.float32(0.0)
            for k in range(rank):
                low_rank += source[item, k] * target[column, k]
            entry[place] = np.float32(sums[column]) + low_rank
            total += abs(entry[place])
            sums[column] = 0.0
            reached[column] = False
        lengths[row] = _keep_largest(touched[:count], entry[:count], columns[row], values[row])
    return total


@no_type_check
@numba.njit(cache=True, nogil=True)
def _keep_largest(touched, entry, columns, values):
    """Write the largest entries by absolute value (ties: smaller column), ascending by column."""
    size, count = len(columns), len(touched)
    place = np.arange(count)
    if count > size:
        strength = np.abs(entry)
        least = nth_largest(strength, size)
        above = np.flatnonzero(strength > least)
        equal = np.flatnonzero(strength == least)
        equal = equal[ascending(touched[equal])][: size - len(above)]
        place = np.concatenate((above, equal))
    place = place[ascending(touched[place])]
    for k in range(len(place)):
        columns[k] = touched[place[k]]
        values[k] = entry[place[k]]
    return len(place)
