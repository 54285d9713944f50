"""The smallest evidence to add that would bring an item into the list. Pure.

An item that at least k others beat is in no list of k. So the scores of the item and of its nearest
rivals rule out nearly every set, and what is left is ranked over all items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.explain.added_scores import LARGEST_SET, AddedScores, Partner

_VALUES_AT_ONCE = 500_000
_MOST_PAIRED = 400
"""Items that are tried in pairs; where more may do it together, nothing is certain."""
_TIE = 1e-5
"""Differences below this share of a score may be rounding, and rule nothing out."""

_Rows = Int64[NDArray[np.int64], "sets size"]
_Values = Float64[NDArray[np.float64], " sets"]


@dataclass(frozen=True, slots=True)
class Recourse:
    """What was found.

    Attributes:
        added: rows of the items to add; None where no set was found.
        certain: whether no smaller set does it; where none was found, whether none of one or two
            items does.
    """

    added: tuple[int, ...] | None
    certain: bool


def find_recourse(
    scores: AddedScores,
    candidates: Int64[NDArray[np.int64], " n"],
    k: int,
    *,
    budget: int = 64,
) -> Recourse:
    """The smallest set of items to add that is found.

    Every candidate alone, then every pair of those that may do it with another, then the pair that
    comes nearest is added to.

    Args:
        scores: of the item and its rivals.
        candidates: rows of the items that may be added.
        k: length of the list.
        budget: how often to rank all items.
    """
    search = _Search(scores, k, budget)
    singles = search.singles(candidates)
    if (added := search.first(singles)) is not None:
        return Recourse(added, certain=True)
    paired, whole = search.partners(candidates)
    certain = whole and not search.spent
    pairs = search.pairs(paired)
    if (added := search.first(pairs)) is not None:
        return Recourse(added, certain=certain)
    certain = certain and not search.spent
    nearest = pairs.nearest if len(pairs.sets) else singles.nearest
    while nearest is not None and len(nearest) < LARGEST_SET:
        grown = search.grown(nearest, paired)
        if (added := search.first(grown)) is not None:
            return Recourse(added, certain=False)
        nearest = grown.nearest
    return Recourse(None, certain=certain)


@dataclass(frozen=True, slots=True, eq=False)
class _Sets:
    """Sets of items that may do it, those first that come nearest.

    Attributes:
        sets: rows of items.
        nearest: the set that comes nearest, whether it may do it or not; None where there is none.
    """

    sets: list[tuple[int, ...]]
    nearest: tuple[int, ...] | None


class _Search:
    """Tries sets of items."""

    def __init__(self, scores: AddedScores, k: int, budget: int) -> None:
        self._scores = scores
        self._k = k
        self._budget = budget
        self.spent = False

    def first(self, some: _Sets) -> tuple[int, ...] | None:
        """The first set that does it."""
        for rows in some.sets:
            if self._budget == 0:
                self.spent = True
                return None
            self._budget -= 1
            if self._scores.place(rows) <= self._k:
                return rows
        return None

    def singles(self, candidates: Int64[NDArray[np.int64], " n"]) -> _Sets:
        """Each candidate alone."""
        parts = [self._kept(rows[:, None], self._scores.of_singles(rows)) for rows in
                 self._blocks(candidates)]  # fmt: skip
        return _together(parts)

    def partners(
        self, candidates: Int64[NDArray[np.int64], " n"]
    ) -> tuple[Int64[NDArray[np.int64], " m"], bool]:
        """The candidates that may do it with another one, and whether these are all of them."""
        blocks = list(self._blocks(candidates))
        if not blocks:
            return candidates, True
        partner = reduce(Partner.beside, map(self._scores.largest, blocks))
        may_do: list[Int64[NDArray[np.int64], " m"]] = []
        ahead: list[Float64[NDArray[np.float64], " m"]] = []
        for rows in blocks:
            by = self._scores.may_pair(rows, partner)
            by[self._scores.items[1:] == rows[:, None]] = np.inf
            # The other one may be a rival too, and then is in no list.
            best = _at_k(by, self._k + 1)
            may_do.append(rows[best > 0.0])
            ahead.append(best[best > 0.0])
        may = np.concatenate(may_do)
        first = np.argsort(-np.concatenate(ahead), kind="stable")[:_MOST_PAIRED]
        return np.sort(may[first]), len(may) <= _MOST_PAIRED

    def pairs(self, rows: Int64[NDArray[np.int64], " m"]) -> _Sets:
        """Each pair of some candidates."""
        if len(rows) < 2:
            return _Sets([], None)
        return self._measured(np.array(list(combinations(rows.tolist(), 2)), np.int64))

    def grown(self, base: tuple[int, ...], rows: Int64[NDArray[np.int64], " m"]) -> _Sets:
        """A set with each of some candidates more."""
        others = rows[~np.isin(rows, base)]
        if not len(others):
            return _Sets([], None)
        return self._measured(np.column_stack([np.tile(base, (len(others), 1)), others]))

    def _measured(self, sets: Int64[NDArray[np.int64], "sets size"]) -> _Sets:
        return _together(
            [self._kept(some, self._scores.of_sets(some)) for some in self._blocks(sets)]
        )

    def _blocks(
        self, rows: Int64[NDArray[np.int64], "n ..."]
    ) -> Iterator[Int64[NDArray[np.int64], "m ..."]]:
        step = max(1, _VALUES_AT_ONCE // len(self._scores.items))
        return (rows[begin : begin + step] for begin in range(0, len(rows), step))

    def _kept(
        self,
        sets: Int64[NDArray[np.int64], "sets size"],
        scores: Float64[NDArray[np.float64], "sets rivals"],
    ) -> tuple[_Rows, _Values, _Values]:
        """The sets, by how much the item misses the list, and what may be rounding of it."""
        rivals = scores[:, 1:].copy()
        rivals[(self._scores.items[1:] == sets[:, :, None]).any(axis=1)] = -np.inf
        margin = _at_k(scores[:, :1] - rivals, self._k)
        return sets, margin, _TIE * np.abs(scores).max(axis=1)


def _together(parts: Sequence[tuple[_Rows, _Values, _Values]]) -> _Sets:
    if not parts:
        return _Sets([], None)
    sets, margin, tie = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-margin, kind="stable")
    may = order[margin[order] > -tie[order]]
    return _Sets([tuple(rows) for rows in sets[may].tolist()], tuple(sets[order[0]].tolist()))


def _at_k(
    ahead: Float64[NDArray[np.float64], "sets rivals"], k: int
) -> Float64[NDArray[np.float64], " sets"]:
    """By how much the item is ahead of the k-th of its rivals; infinity where there are fewer."""
    if ahead.shape[1] < k:
        return np.full(len(ahead), np.inf)
    return np.partition(ahead, k - 1, axis=1)[:, k - 1]
