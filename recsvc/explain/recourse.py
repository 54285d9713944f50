"""The smallest evidence to add that would bring an item into the list. Pure.

An item that at least k others beat is in no list of k. So the scores of the item and of its nearest
rivals rule out nearly every set, and what is left is ranked over all items.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.explain.added_scores import LARGEST_SET, AddedItems, AddedScores, Partner

_VALUES_AT_ONCE = 500_000
"""Scores of items and rivals that are made at a time, or are kept."""
_ITEMS_AT_ONCE = 4096
_MOST_PAIRED = 400
"""Items that are tried in pairs; where more may do it together, nothing is certain."""
_MOST_GROWN = 200
"""Items that a set is grown by, and those that are tried in pairs."""
_SHRINKS = 0.9
"""Partners are ruled out again while that leaves less than this share of them."""
_LOOKED_AT = 200
"""Sets of which the one is taken that comes nearest, where none may do it."""
_TIE = 1e-5
"""Differences below this share of a score may be rounding, and rule nothing out."""

_Rows = Int64[NDArray[np.int64], " n"]
_Sets = Int64[NDArray[np.int64], "sets size"]
_Ahead = Float64[NDArray[np.float64], "sets rivals"]
_May = Bool[NDArray[np.bool_], " sets"]
_Margin = Float64[NDArray[np.float64], " sets"]
_Margins = tuple[_May, _Margin]
"""Whether sets may do it, and by how much each is ahead of the last of the list."""
_Measured = tuple[list[tuple[int, ...]], tuple[int, ...]]
"""Sets that may do it, those first that come nearest; and the one that comes nearest, whether it
may or not, without items where there is no set."""


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

    Every candidate alone, then every pair of those that may do it with another, then what comes
    nearest is added to.

    Args:
        scores: of the item and its rivals.
        candidates: rows of the items that may be added.
        k: length of the list.
        budget: how often to rank all items.
    """
    search = _Search(scores, candidates, k, budget)
    if (added := search.first(search.singles())) is not None:
        return Recourse(added, certain=True)
    items, paired, whole = search.partners()
    certain = whole and not search.spent
    pairs, nearest = search.pairs(items, paired)
    if (added := search.first(pairs)) is not None:
        return Recourse(added, certain=certain)
    certain = certain and not search.spent
    while len(nearest) < min(LARGEST_SET, len(items.rows)):
        grown, nearest = search.grown(items, nearest)
        if (added := search.first(grown)) is not None:
            return Recourse(added, certain=False)
    return Recourse(None, certain=certain)


class _Search:
    """Tries sets of items: against the nearest rivals, then against all of them, then for good."""

    def __init__(self, scores: AddedScores, candidates: _Rows, k: int, budget: int) -> None:
        self._scores = scores
        self._k = k
        self._budget = budget
        self._near = 2 * k
        blocks = self._blocks(candidates, self._near)
        few = len(candidates) * (self._near + 1) <= _VALUES_AT_ONCE
        self._candidates = list(blocks) if few else blocks
        self._likely = candidates[:0]
        self.spent = False

    def first(self, sets: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
        """The first set that does it."""
        for rows in sets:
            if self._budget == 0:
                self.spent = True
                return None
            self._budget -= 1
            if self._scores.place(rows) <= self._k:
                return rows
        return None

    def singles(self) -> list[tuple[int, ...]]:
        """Each candidate alone that may do it, those first that come nearest."""
        near = [(items.rows, *self._may(items)) for items in self._candidates]
        rows, margins = [], []
        for items in self._blocks(_joined([each[may] for each, may, _ in near])):
            may, margin = self._may(items)
            rows.append(items.rows[may])
            margins.append(margin[may])
        every = _joined([each for each, _, _ in near])
        self._likely = _first(every, _listed([margin for _, _, margin in near]), _MOST_GROWN)
        found = _joined(rows)
        return [(row,) for row in _first(found, _listed(margins), len(found)).tolist()]

    def partners(self) -> tuple[AddedItems, _Rows, bool]:
        """What sets are made of.

        Returns:
            Some items; places of those among them that may do it with another one; and whether
            these are all that may.
        """
        rows, best, may = self._able(self._candidates)
        rows, best, before = rows[may], best[may], np.inf
        while len(rows) < _SHRINKS * before:
            before = len(rows)
            rows, best, may = self._able(self._blocks(rows))
            rows, best = rows[may], best[may]
        paired = np.sort(_first(rows, best, _MOST_PAIRED))
        items = self._scores.added(np.union1d(self._likely, paired), together=True)
        return items, np.searchsorted(items.rows, paired), len(rows) <= _MOST_PAIRED

    def pairs(self, items: AddedItems, paired: _Rows) -> _Measured:
        """Each pair of some of the items; what comes nearest is one item where there is no pair."""
        left, right = np.triu_indices(len(paired), 1)
        if len(left):
            return self._measured(items, np.column_stack([paired[left], paired[right]]))
        return [], self._measured(items, np.arange(len(items.rows))[:, None])[1]

    def grown(self, items: AddedItems, base: tuple[int, ...]) -> _Measured:
        """A set with each of the other items."""
        places = np.searchsorted(items.rows, np.array(base))
        others = np.setdiff1d(np.arange(len(items.rows)), places)
        return self._measured(items, np.column_stack([np.tile(places, (len(others), 1)), others]))

    def _may(self, items: AddedItems) -> _Margins:
        """Whether each item alone may do it, and by how much it does."""
        scores = self._scores.of_singles(items)
        return self._margins(scores, items, np.arange(len(items.rows))[:, None])

    def _able(self, blocks: Iterable[AddedItems]) -> tuple[_Rows, _Margin, _May]:
        """Items, by how much each is ahead at most with another one, and whether it may do it."""
        partners = list(map(self._scores.largest, blocks))
        rows, ahead, may = [], [], [np.zeros(0, bool)]
        for items in blocks:
            by = self._scores.may_pair(items, reduce(Partner.beside, partners))
            tie = _TIE * np.abs(np.where(np.isfinite(by), by, 0.0)).max(axis=1, initial=0.0)
            own = np.flatnonzero(items.rival >= 0)
            by[own, items.rival[own]] = np.inf
            # The other one may be a rival too, and then is in no list.
            best = _at_k(by, self._k + 1)
            rows.append(items.rows)
            ahead.append(best)
            may.append(best > -tie)
        return _joined(rows), _listed(ahead), np.concatenate(may)

    def _measured(self, items: AddedItems, sets: _Sets) -> _Measured:
        if not len(sets):
            return [], ()
        near = items.against(self._near)
        may, margin = self._of_sets(near, sets, _VALUES_AT_ONCE // (near.count + 1))
        may[np.argsort(-margin, kind="stable")[:_LOOKED_AT]] = True
        sets = sets[may]
        may, margin = self._of_sets(items, sets, _VALUES_AT_ONCE // (items.count + 1))
        order = np.argsort(-margin, kind="stable")
        rows = items.rows[sets[order]]
        named = rows[may[order]][: self._budget + 1]
        return [tuple(each) for each in named.tolist()], tuple(rows[0].tolist())

    def _of_sets(self, items: AddedItems, sets: _Sets, step: int) -> _Margins:
        """Whether each set may do it, and by how much it does."""
        parts = [sets[begin : begin + step] for begin in range(0, len(sets), step)]
        told = [self._margins(self._scores.of_sets(items, some), items, some) for some in parts]
        may, margin = zip(*told, strict=True)
        return np.concatenate(may), np.concatenate(margin)

    def _margins(self, scores: _Ahead, items: AddedItems, sets: _Sets) -> _Margins:
        ahead = scores[:, :1] - scores[:, 1:]
        for members in sets.T:
            rival = items.rival[members]
            own = np.flatnonzero(rival >= 0)
            ahead[own, rival[own]] = np.inf
        margin = _at_k(ahead, self._k)
        return margin > -_TIE * np.abs(scores).max(axis=1), margin

    def _blocks(self, rows: _Rows, rivals: int | None = None) -> "_Blocks":
        width = len(self._scores.items) if rivals is None else rivals + 1
        step = max(1, min(_ITEMS_AT_ONCE, _VALUES_AT_ONCE // width))
        parts = [rows[begin : begin + step] for begin in range(0, len(rows), step)]
        return _Blocks(self._scores, parts, rivals)


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Many items, some at a time.

    Attributes:
        scores: say what they add.
        parts: rows of items.
        rivals: how many rivals matter; all where None.
    """

    scores: AddedScores
    parts: Sequence[_Rows]
    rivals: int | None

    def __iter__(self) -> Iterator[AddedItems]:
        return (self.scores.added(rows, rivals=self.rivals) for rows in self.parts)


def _first(rows: _Rows, best: _Margin, count: int) -> _Rows:
    """The items that are ahead most."""
    return rows[np.argsort(-best, kind="stable")[:count]]


def _joined(parts: Sequence[_Rows]) -> _Rows:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _listed(parts: Sequence[_Margin]) -> _Margin:
    return np.concatenate([np.zeros(0), *parts])


def _at_k(ahead: _Ahead, k: int) -> _Margin:
    """By how much the item is ahead of the k-th of its rivals; infinity where there are fewer."""
    if ahead.shape[1] < k:
        return np.full(len(ahead), np.inf)
    return np.partition(ahead, k - 1, axis=1)[:, k - 1]
