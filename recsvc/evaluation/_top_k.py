# pyright: basic
# numba's decorators are untyped: a compiled function has no type. `no_type_check` keeps the
# checking of shapes in tests, which wraps every function, away from what numba compiles.
"""The k best of each row of scores, compiled: one pass, and nothing is copied or sorted whole."""

from typing import no_type_check

import numba
import numpy as np

_BLOCK = 128  # scores compared at once: most blocks hold none of the best


@no_type_check
@numba.njit(cache=True, nogil=True)
def select_best(scores, users, seen_begin, seen_items, items, values):
    """Fill `items` and `values` with the best of each row, best first; ties by smaller column.

    Args:
        scores: float32 [n, items], C-contiguous; NaN and -inf are never chosen.
        users: row of each among the seen, int64 [n].
        seen_begin: where the seen items of a user begin, [users + 1].
        seen_items: columns left out, ascending for each user.
        items: result, int64 [n, k]: -1 where there is nothing left.
        values: result, float32 [n, k]: -inf where there is nothing left.
    """
    for row in range(len(scores)):
        seen = seen_items[seen_begin[users[row]] : seen_begin[users[row] + 1]]
        _fill_heap(scores[row], seen, items[row], values[row])
        _sort_heap(items[row], values[row])


@no_type_check
@numba.njit(cache=True, nogil=True)
def mark_hits(scores, there, relevant, hits):
    """Mark the ranks of the relevant columns of each row; ties by smaller column.

    A relevant column has as many before it as have a larger score, which takes no sorting.

    Args:
        scores: float32 [n, columns].
        there: False for a column that is not ranked, [n, columns].
        relevant: [n, columns].
        hits: result, bool [n, k]: set where what has this rank is relevant.
    """
    ranks = hits.shape[1]
    for row in range(len(scores)):
        own, ranked = scores[row], there[row]
        for column in range(len(own)):
            if relevant[row, column] and ranked[column]:
                rank, value = 0, own[column]
                for other in range(column):
                    rank += ranked[other] & (own[other] >= value)
                for other in range(column + 1, len(own)):
                    rank += ranked[other] & (own[other] > value)
                if rank < ranks:
                    hits[row, rank] = True


@no_type_check
@numba.njit(cache=True, nogil=True)
def _fill_heap(scores, seen, items, values):
    """A heap with the worst of the best first.

    Columns ascend, so one that only equals the worst comes after all that are kept, and loses.
    """
    items[:] = -1
    values[:] = -np.inf
    worst = values[0]
    for begin in range(0, len(scores), _BLOCK):
        end = min(begin + _BLOCK, len(scores))
        above = 0
        for column in range(begin, end):
            above += scores[column] > worst
        if above == 0:
            continue
        for column in range(begin, end):
            if scores[column] > worst and not _holds(seen, column):
                _sift(items, values, len(items), column, scores[column])
                worst = values[0]


@no_type_check
@numba.njit(cache=True, nogil=True)
def _sort_heap(items, values):
    for size in range(len(items) - 1, 0, -1):
        item, value = items[size], values[size]
        items[size], values[size] = items[0], values[0]
        _sift(items, values, size, item, value)


@no_type_check
@numba.njit(cache=True, nogil=True)
def _sift(items, values, size, item, value):
    """Put an entry in the place of the first one, and down to where it belongs."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _worse(
            items[child + 1], values[child + 1], items[child], values[child]
        ):
            child += 1
        if not _worse(items[child], values[child], item, value):
            break
        items[place], values[place] = items[child], values[child]
        place = child
    items[place], values[place] = item, value


@no_type_check
@numba.njit(cache=True, nogil=True)
def _worse(item, value, other_item, other_value):
    return value < other_value or (value == other_value and item > other_item)


@no_type_check
@numba.njit(cache=True, nogil=True)
def _holds(ascending, wanted):
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < len(ascending) and ascending[low] == wanted
