"""A group of items gets at least its share of the first places: the least that has to be added."""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from recsvc.blend.ranking import sort_by_score

FAIRNESS = "fairness"
"""Name of the part of a score that an item has for being in a group that gets its share."""

_HAIR = 1e-9


def least_items(share: float, places: int) -> int:
    """How many of some places a share of them is, rounded up; it is read as a decimal number."""
    return math.ceil(Fraction(str(share)) * places)


def fairness_parts(
    scores: Float64[NDArray[np.float64], " items"],
    group: Bool[NDArray[np.bool_], " items"],
    wanted: int,
    places: int,
) -> Float64[NDArray[np.float64], " items"]:
    """What is added to the score of each item so that the group has its share; 0 or more.

    The m = `wanted` best of the group get the same. With g_m the m-th best score in the group, and
    h the score outside it that comes right after the other places - m,

        part = max(0, h - g_m)

    That is the least that does, but for a hair that keeps rounding from undoing it. The first
    places hold the items with the largest sum of scores among all choices that give the group its
    share. Where the group has fewer items, all of them get a place.

    Args:
        scores: of the items that may be listed.
        group: which of them are in the group.
        wanted: how many of the first places it gets at least.
        places: how many places that is of.
    """
    parts = np.zeros(len(scores))
    own, others = np.flatnonzero(group), np.sort(scores[~group])[::-1]
    own = own[sort_by_score(own, scores[own])][: max(0, min(wanted, places))]
    free = places - len(own)
    if not len(own) or free >= len(others):
        return parts
    last, next_other = float(scores[own[-1]]), float(others[free])
    if last <= next_other:
        hair = max(_HAIR * abs(next_other), np.spacing(abs(next_other)))
        parts[own] = next_other - last + max(hair, np.spacing(abs(last)))
    return parts
