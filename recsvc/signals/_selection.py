"""The largest of some values, in compiled code."""

from typing import no_type_check

import numba


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
