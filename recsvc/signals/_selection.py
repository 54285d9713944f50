"""The largest of some values, and their order, in compiled code."""

from typing import no_type_check

import numba
import numpy as np


@no_type_check  # numba compiles it: a run-time type checker must not wrap it
@numba.njit(cache=True, nogil=True)
def nth_largest(values, n):
    """The n-th largest value (Hoare 1961, "Algorithm 65: find").

    numba compiles this in a fraction of a second; for `numpy.partition` it takes five.

    Args:
        values: none of them NaN, [values].
        n: from 1 to their number.
    """
    left = values.copy()
    place, low, high = len(left) - n, 0, len(left) - 1
    while low < high:
        pivot = left[(low + high) // 2]
        below, above = low, high
        while below <= above:
            while left[below] < pivot:
                below += 1
            while left[above] > pivot:
                above -= 1
            if below <= above:
                left[below], left[above] = left[above], left[below]
                below += 1
                above -= 1
        if place <= above:
            high = above
        elif place >= below:
            low = below
        else:
            break
    return left[place]


@no_type_check
@numba.njit(cache=True, nogil=True)
def ascending(values):
    """The places of values, that of the smallest first (Williams 1964, "Algorithm 232: Heapsort").

    Of equal values any may come first. numba compiles this in a fraction of a second; for
    `numpy.argsort` it takes three.

    Args:
        values: none of them NaN, [values].
    """
    places = np.arange(len(values))
    for root in range(len(places) // 2 - 1, -1, -1):
        _sift(values, places, root, len(places))
    for end in range(len(places) - 1, 0, -1):
        places[0], places[end] = places[end], places[0]
        _sift(values, places, 0, end)
    return places


@no_type_check
@numba.njit(cache=True, nogil=True)
def _sift(values, places, root, end):
    """Move a place of the heap before `end` down to where none below it has a larger value."""
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and values[places[child]] < values[places[child + 1]]:
            child += 1
        if values[places[child]] <= values[places[root]]:
            break
        places[root], places[child] = places[child], places[root]
        root = child
