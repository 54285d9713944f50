"""What the places of a list under a scenario are filled from, and the list that comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.explain.contributions import DIVERSITY, ExactScores
from recsvc.recommend.exploring import EXPLORATION
from recsvc.recommend.ranked_list import reach
from recsvc.recommend.tried_out import Tried
from recsvc.scenarios.placing import Counted, Placed, placed


@dataclass(frozen=True, slots=True, eq=False)
class Ruled:
    """A list that was placed.

    Attributes:
        exact: the items that have a score, in the order of the list, with the part `rule`.
        order: of each place, the column in `exact`, or −1 − n for the n-th newcomer.
        placed: the same with its reasons.
        deepest: the lowest score that the list depends on; what is below cannot change it.
        enough: whether as many candidates were there as it is made from.
        of_new: what the newcomers gain as their group's share, in their order.
        tried: what is tried out; None where nothing may be.
    """

    exact: ExactScores
    order: tuple[int, ...]
    placed: Placed
    deepest: float
    enough: bool
    of_new: tuple[float, ...]
    tried: Tried | None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a list is made of, the highest score first.

    Attributes:
        rows: in the facts.
        scores: by these they are ordered.
        order: of each its column in `exact`; newcomers come after these.
        exact: the items that have a score.
        pins: the position of the item of each pinned place, from 1.
        counted: what each quota counts.
        weight: what one loses that is just like one before it.
        vectors: what tells how alike two are; None where that does not count.
        of_new: see `Ruled`.
    """

    rows: Int64[NDArray[np.int64], " n"]
    scores: Float64[NDArray[np.float64], " n"]
    order: Int64[NDArray[np.int64], " n"]
    exact: ExactScores
    pins: Mapping[int, int]
    counted: Sequence[Counted]
    weight: float
    vectors: Float64[NDArray[np.float64], "n dim"] | None
    of_new: tuple[float, ...]

    def fill(self, k: int, pins: Mapping[int, int]) -> Placed:
        """Fill k places around some pins."""
        return placed(
            self.scores, k, pins, self.counted,
            vectors=self.vectors, weight=self.weight, reach=reach,
        )  # fmt: skip

    def laid_out(
        self, found: Placed, deepest: float, tried: Tried | None, *, enough: bool, alike: bool
    ) -> Ruled:
        """The list, with what its items lose by being alike and gain by being tried out.

        Args:
            found: which candidate stands where.
            deepest: see `Ruled`.
            tried: see `Ruled`.
            enough: see `Ruled`.
            alike: whether they lose by being alike.
        """
        entries, size = self.order[found.order], len(self.exact.items)
        known = entries < size
        listed = self.exact.take(entries[known])
        if alike:
            listed = listed.adjusted(DIVERSITY, -self.weight * found.similarity[known])
        if tried is not None:
            gained = np.array([tried.gains.get(p, 0.0) for p in range(len(entries))], np.float64)
            listed = listed.adjusted(EXPLORATION, gained[known])
        layout = np.where(known, np.cumsum(known) - 1, size - 1 - entries)
        return Ruled(listed, tuple(layout.tolist()), found, deepest, enough, self.of_new, tried)
