"""A group of items gets at least its share of the first places: the least that has to be added."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from recsvc.blend.ranking import sort_by_score

FAIRNESS = "fairness"
"""Name of the part of a score that an item has for being in a group that gets its share."""

_HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class LeastShare:
    """What a group of items gets.

    Attributes:
        share: of the places, from 0 to 1.
        places: of how many of the first places, whatever the length of a list.
    """

    share: float
    places: int

    @property
    def items(self) -> int:
        """How many of the first places that is."""
        return math.ceil(Fraction(str(self.share)) * self.places)

    def parts(
        self,
        scores: Float64[NDArray[np.float64], " items"],
        group: Bool[NDArray[np.bool_], " items"],
    ) -> Float64[NDArray[np.float64], " items"]:
        """What is added to the score of each item so that the group has its share; 0 or more.

        The m best of the group, m being its places, get the same. With g_m the m-th best score in
        the group, and h the score outside it that comes right after the other places - m,

            part = max(0, h - g_m)

        That is the least that does, but for a hair that keeps rounding from undoing it. The first
        places hold the items with the largest sum of scores among all choices that give the group
        its share. The order stays one by score, so that the list for a smaller k is the beginning
        of that for a larger one. Where the group has fewer items than its share, all of them get a
        place.

        Args:
            scores: of the items that may be listed.
            group: which of them are in the group.
        """
        parts = np.zeros(len(scores))
        own, others = np.flatnonzero(group), np.sort(scores[~group])[::-1]
        own = own[sort_by_score(own, scores[own])][: self.items]
        free = self.places - len(own)
        if not len(own) or free >= len(others):
            return parts
        last, next_other = float(scores[own[-1]]), float(others[free])
        if last <= next_other:
            hair = max(_HAIR * abs(next_other), np.spacing(abs(next_other)))
            parts[own] = next_other - last + max(hair, np.spacing(abs(last)))
        return parts


def cost(
    scores: Float64[NDArray[np.float64], " items"],
    parts: Float64[NDArray[np.float64], " items"],
    places: int,
) -> float:
    """By how much the sum of the first places' scores is below what it is without the parts."""
    rows = np.arange(len(scores))
    first = (sort_by_score(rows, each)[:places] for each in (scores, scores + parts))
    before, after = (float(scores[each].sum()) for each in first)
    return before - after
