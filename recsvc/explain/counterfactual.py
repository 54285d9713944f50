"""What an item owes to a few pieces of evidence: without them it would not be in the list. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed

LARGEST_SET = 5
"""Most pieces of evidence in a counterfactual."""

_PAIR_EVIDENCE = 30
"""Pieces of evidence that are tried in pairs: those that narrow some gap most."""
_RIVALS = 10
"""Items after the list that may take a place in it."""
_VALUES_AT_ONCE = 500_000
"""Scores that are looked at together: more do not stay near the processor, and take memory."""
_TIE = 1e-5
"""Differences below this share of a score may be rounding, and decide nothing."""

Ranking = Callable[[Int64[NDArray[np.int64], " size"]], Int64[NDArray[np.int64], " k"]]
"""Ranks all items without the evidence at some positions: rows of the k best."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Evidence without which an item is no longer in the list.

    Attributes:
        positions: of the pieces of evidence, in `Evidence.nodes`.
        replaced_by: row of the best item that then is in the list and was not before.
    """

    positions: tuple[int, ...]
    replaced_by: int


def find_removals(
    leave_one_out: LeaveOneOutScores,
    listed: Listed,
    rank_again: Ranking,
    *,
    plain: bool,
    budget: int = 64,
) -> tuple[Removal | None, ...]:
    """For each item of a list the smallest removal that was found.

    One piece of evidence is tried after the other, all of them. Then sets of two to `LARGEST_SET`
    are tried, smaller ones first: pairs of the pieces that narrow gaps most, the first pieces in
    each order of `_Search._narrowing`, and the set that came nearest with one piece more. A set is
    named only where it is certain that no single piece does it. What the scores near the list
    cannot tell is ranked again.

    Args:
        leave_one_out: scores without some evidence.
        listed: the list.
        rank_again: ranks all items anew.
        plain: the list is in the order of the scores, so that they can tell.
        budget: how often to rank again.

    Returns:
        One for each item of the list; None where no set of `LARGEST_SET` pieces was found.
    """
    if not len(listed.items):
        return ()
    search = _Search(leave_one_out, listed, rank_again, plain=plain, budget=budget)
    removals: dict[int, Removal] = {}
    singles = search.measured(np.arange(len(listed.own))[:, None])
    left = search.try_sets(singles, range(len(listed.items)), removals, complete=True)
    for some in search.groups(left):
        search.try_larger(some, singles, removals)
    return tuple(removals.get(item) for item in range(len(listed.items)))


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Sets of evidence, and what the scores near the list tell about each.

    Attributes:
        sets: positions of evidence, [sets, size].
        scores: of the items near the list, [sets, n].
        margin: by how much each item of the list misses it, [sets, k]; below 0 it stays.
        floor: what no item beside these may score above, so that the scores tell, [sets, k]; NaN
            where they do not.
        bounds: what none of the others does score above, [sets].
    """

    sets: Int64[NDArray[np.int64], "sets size"]
    scores: Float64[NDArray[np.float64], "sets n"]
    margin: Float64[NDArray[np.float64], "sets k"]
    floor: Float64[NDArray[np.float64], "sets k"]
    bounds: Float64[NDArray[np.float64], " sets"]

    def nearest(self, item: int) -> Int64[NDArray[np.int64], " size"]:
        """The set that comes nearest to moving an item out."""
        return self.sets[int(np.argmax(self.margin[:, item]))]


def _ranked_at(
    scores: Float64[NDArray[np.float64], "sets n"], k: int
) -> tuple[Float64[NDArray[np.float64], "sets 1"], Float64[NDArray[np.float64], "sets 1"]]:
    """The k-th best score of each set, and the one after it; -inf where there are not as many."""
    missing = k + 1 - scores.shape[1]
    if missing > 0:
        scores = np.pad(scores, [(0, 0), (missing, 0)], constant_values=-np.inf)
    last = scores.shape[1] - k
    ordered = np.partition(scores, (last - 1, last), axis=1)
    return ordered[:, last : last + 1], ordered[:, last - 1 : last]


def _with_one_more(
    chosen: Int64[NDArray[np.int64], " size"], pieces: Int64[NDArray[np.int64], " n"]
) -> Int64[NDArray[np.int64], "sets larger"]:
    """A set with each of some pieces that are not in it."""
    others = pieces[(pieces[:, None] != chosen).all(axis=1)]
    return np.column_stack([np.tile(chosen, (len(others), 1)), others])


class _Search:
    """Tries sets of evidence on the items of one list."""

    def __init__(
        self,
        leave_one_out: LeaveOneOutScores,
        listed: Listed,
        rank_again: Ranking,
        *,
        plain: bool,
        budget: int,
    ) -> None:
        self._leave_one_out = leave_one_out
        self._listed = listed
        self._rank_again = rank_again
        self._plain = plain
        self._budget = budget
        self._inside = np.zeros(len(listed.allowed), bool)
        self._inside[listed.items] = True
        self._most: dict[tuple[int, ...], float] = {}
        self._ranked: dict[tuple[int, ...], Int64[NDArray[np.int64], " k"]] = {}
        self._columns = np.searchsorted(leave_one_out.items, listed.items)

    def measured(self, sets: Int64[NDArray[np.int64], "sets size"]) -> _Measured:
        """How near each set comes to moving each item out."""
        k = len(self._listed.items)
        scores, bounds = self._leave_one_out.without(sets)
        own = scores[:, self._columns]
        last, next_ = _ranked_at(scores, k)
        ahead = np.where(own >= last, next_, last)
        margin = np.subtract(ahead, own, out=np.full(own.shape, np.inf), where=own > -np.inf)
        tie = _TIE * np.abs(last, out=np.zeros_like(last), where=last > -np.inf)
        apart = (np.abs(margin) > tie) & self._plain
        floor = np.where(apart, np.minimum(last, own) - tie, np.nan)
        return _Measured(sets, scores, margin, floor, bounds)

    def try_sets(
        self,
        tried: _Measured,
        items: Iterable[int],
        removals: dict[int, Removal],
        *,
        complete: bool = False,
    ) -> list[int]:
        """Take in what moves items out.

        Returns:
            The items for which it is certain that none of the sets does, as far as `_first` says.
        """
        left: list[int] = []
        for item in items:
            removal, certain = self._first(tried, item, complete=complete)
            if removal is not None:
                removals[item] = removal
            elif certain or not complete:
                left.append(item)
        return left

    def groups(self, items: Sequence[int]) -> Iterator[list[int]]:
        """Items whose sets are tried together, as many as memory has room for."""
        n, pieces = len(self._leave_one_out.items), len(self._listed.own)
        of_one = max((_PAIR_EVIDENCE + 2 * _RIVALS) * n, 2 * _RIVALS * pieces)
        at_once = max(1, _VALUES_AT_ONCE // of_one)
        return (list(items[at : at + at_once]) for at in range(0, len(items), at_once))

    def try_larger(
        self, items: list[int], singles: _Measured, removals: dict[int, Removal]
    ) -> None:
        """Try sets of two pieces and more; every item tries those of the others too."""
        narrows = self._narrowing(items, singles)
        if not narrows.size:  # nothing can take a place
            return
        first = np.argsort(-narrows, axis=2, kind="stable")[:, :, :LARGEST_SET]
        strong = np.argsort(-narrows.max(axis=(0, 1)), kind="stable")[:_PAIR_EVIDENCE]
        row, left = {item: number for number, item in enumerate(items)}, items
        sets = strong[np.array(list(combinations(range(len(strong)), 2)), np.int64).reshape(-1, 2)]
        for size in range(2, first.shape[2] + 1):
            begun = first[[row[item] for item in left], :, :size].reshape(-1, size)
            tried = self.measured(np.unique(np.sort(np.concatenate([sets, begun]), axis=1), axis=0))
            left = self.try_sets(tried, left, removals)
            if not left:
                return
            sets = np.concatenate([_with_one_more(tried.nearest(item), strong) for item in left])

    def _narrowing(
        self, items: list[int], singles: _Measured
    ) -> Float64[NDArray[np.float64], "some orders evidence"]:
        """By how much each piece narrows the gap between an item and what may take its place.

        Without piece j an item i loses d_j(i) = score(i) - score_j(i), in which n_s(u) and r_s(u)
        have changed. That narrows the gap between i and r by d_j(i) - d_j(r). One order of the
        pieces is by the gap to each of the `_RIVALS` items after the list, as in ACCENT (Tran,
        Ghazimatin & Saha Roy 2021, "Counterfactual explanations for neural recommenders", §3.2);
        others are by the mean gap to the first 2, 3, ... of them, since several must pass an item
        that is high in the list.
        """
        ((now,), _) = self._leave_one_out.without(np.zeros((1, 0), np.int64))
        lost = now - np.where(np.isfinite(singles.scores), singles.scores, now)
        after = np.delete(np.arange(len(now)), self._columns)
        after = after[np.argsort(-now[after], kind="stable")][:_RIVALS]
        means = np.cumsum(lost[:, after], axis=1) / np.arange(1, len(after) + 1)
        towards = np.concatenate([lost[:, after], means[:, 1:]], axis=1)
        return lost[:, self._columns[items]].T[:, None] - towards.T

    def _first(self, tried: _Measured, item: int, *, complete: bool) -> tuple[Removal | None, bool]:
        """The set that moves an item out by most, and whether it is certain that none does.

        Args:
            tried: the sets.
            item: which item of the list.
            complete: every set that the scores do not tell about is ranked again, not only those
                that seem to do it.
        """
        certain = True
        margin, floor = tried.margin[:, item], tried.floor[:, item]
        sure = floor >= tried.bounds
        wanted = np.flatnonzero((margin > 0.0) | (~sure & complete))
        for number in wanted[np.argsort(-margin[wanted], kind="stable")].tolist():
            told = bool(sure[number]) or self._tells(tried.sets[number], float(floor[number]))
            if told and margin[number] <= 0.0:
                continue
            top = self._top(tried, number, sure=told)
            if top is None or not self._listed.known[top].all():
                certain = False
            elif self._listed.items[item] not in top:
                new = top[~self._inside[top]]
                if len(new):
                    return Removal(tuple(tried.sets[number].tolist()), int(new[0])), True
        return None, certain

    def _tells(self, chosen: Int64[NDArray[np.int64], " size"], floor: float) -> bool:
        """Whether no item beside those near the list scores above `floor` without a set."""
        if not floor > -np.inf:
            return False
        positions = tuple(chosen.tolist())
        if positions not in self._most:
            self._most[positions] = self._leave_one_out.most_of_others(chosen)
        return floor >= self._most[positions]

    def _top(
        self, tried: _Measured, number: int, *, sure: bool
    ) -> Int64[NDArray[np.int64], " k"] | None:
        """The list without one of the sets; None where that is not known."""
        k = len(self._listed.items)
        if sure:
            scores = tried.scores[number]
            order = np.argsort(-scores, kind="stable")[:k]
            return self._leave_one_out.items[order[scores[order] > -np.inf]]
        chosen = tuple(tried.sets[number].tolist())
        if chosen not in self._ranked:
            if self._budget == 0:
                return None
            self._budget -= 1
            self._ranked[chosen] = self._rank_again(tried.sets[number])
        return self._ranked[chosen]
