"""What an item owes to a few pieces of evidence: without them it would not be in the list. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed

LARGEST_SET = 5
"""Most pieces of evidence in a counterfactual."""

_PAIR_EVIDENCE = 30
"""Pieces of evidence that are tried in pairs: those that carry most."""
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

    One piece of evidence is tried after the other, all of them; then pairs of those that carry
    most; then the pair that comes nearest is added to. A pair is named only where it is certain
    that no single piece does it. What the scores near the list cannot tell is ranked again.

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
    found: dict[int, Removal] = {}
    left = search.try_sets(search.singles(), range(len(listed.items)), found, complete=True)
    strong = np.argsort(-leave_one_out.weight(listed.items), kind="stable")[:_PAIR_EVIDENCE]
    if left and len(strong) > 1:
        places = np.array(list(combinations(range(len(strong)), 2)), np.int64)
        pairs = search.measured(np.sort(strong[places], axis=1))
        left = search.try_sets(dict.fromkeys(left, pairs), left, found)
        search.grow({item: pairs.nearest(item) for item in left}, strong, found)
    return tuple(found.get(item) for item in range(len(listed.items)))


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Sets of evidence, and what the scores near the list tell about each.

    Attributes:
        sets: positions of evidence, [sets, size].
        scores: of the items near the list, [sets, n].
        margin: by how much each item of the list misses it, [sets, k]; below 0 it stays.
        sure: whether the scores tell, [sets, k].
    """

    sets: Int64[NDArray[np.int64], "sets size"]
    scores: Float64[NDArray[np.float64], "sets n"]
    margin: Float64[NDArray[np.float64], "sets k"]
    sure: Bool[NDArray[np.bool_], "sets k"]

    def part(self, begin: int, end: int) -> "_Measured":
        """Some of the sets."""
        own = slice(begin, end)
        return _Measured(self.sets[own], self.scores[own], self.margin[own], self.sure[own])

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
        sure = (np.abs(margin) > tie) & (np.minimum(last, own) >= bounds[:, None] + tie)
        return _Measured(sets, scores, margin, sure & self._plain)

    def singles(self) -> "dict[int, _Measured]":
        """Every piece of evidence alone, for each item."""
        singles = self.measured(np.arange(len(self._listed.own))[:, None])
        return dict.fromkeys(range(len(self._listed.items)), singles)

    def try_sets(
        self,
        tried: "Mapping[int, _Measured]",
        items: Iterable[int],
        found: dict[int, Removal],
        *,
        complete: bool = False,
    ) -> list[int]:
        """Take in what moves items out.

        Returns:
            The items for which it is certain that none of their sets does, as far as `_first` says.
        """
        left: list[int] = []
        for item in items:
            removal, certain = self._first(tried[item], item, complete=complete)
            if removal is not None:
                found[item] = removal
            elif certain or not complete:
                left.append(item)
        return left

    def grow(
        self,
        nearest: dict[int, Int64[NDArray[np.int64], " size"]],
        strong: Int64[NDArray[np.int64], " n"],
        found: dict[int, Removal],
    ) -> None:
        """Add to the set that comes nearest for each item, until it does it or is too large."""
        while nearest:
            size = len(next(iter(nearest.values())))
            if size == LARGEST_SET or size >= len(strong):
                return
            at_once = max(1, _VALUES_AT_ONCE // (len(strong) * len(self._leave_one_out.items)))
            items, further = list(nearest), dict[int, Int64[NDArray[np.int64], " size"]]()
            for at in range(0, len(items), at_once):
                some = {item: nearest[item] for item in items[at : at + at_once]}
                further |= self._grown(some, strong, found)
            nearest = further

    def _grown(
        self,
        nearest: dict[int, Int64[NDArray[np.int64], " size"]],
        strong: Int64[NDArray[np.int64], " n"],
        found: dict[int, Removal],
    ) -> dict[int, Int64[NDArray[np.int64], " size"]]:
        """Add one piece to each set; those that come nearest where none does it yet."""
        grown = [
            np.column_stack([np.tile(chosen, (len(others), 1)), others])
            for chosen in nearest.values()
            for others in [strong[(strong[:, None] != chosen).all(axis=1)]]
        ]
        measured = self.measured(np.concatenate(grown))  # at once: each call has its price
        ends = np.cumsum([len(sets) for sets in grown]).tolist()
        tried = {
            item: measured.part(end - len(sets), end)
            for item, sets, end in zip(nearest, grown, ends, strict=True)
        }
        left = self.try_sets(tried, nearest, found)
        return {item: tried[item].nearest(item) for item in left}

    def _first(self, tried: _Measured, item: int, *, complete: bool) -> tuple[Removal | None, bool]:
        """The set that moves an item out by most, and whether it is certain that none does.

        Args:
            tried: the sets.
            item: which item of the list.
            complete: every set that the scores do not tell about is ranked again, not only those
                that seem to do it.
        """
        certain = True
        margin, sure = tried.margin[:, item], tried.sure[:, item]
        wanted = np.flatnonzero((margin > 0.0) | (~sure & complete))
        for number in wanted[np.argsort(-margin[wanted], kind="stable")].tolist():
            top = self._top(tried, number, sure=bool(sure[number]))
            if top is None or not self._listed.known[top].all():
                certain = False
            elif self._listed.items[item] not in top:
                new = top[~np.isin(top, self._listed.items)]
                if len(new):
                    return Removal(tuple(tried.sets[number].tolist()), int(new[0])), True
        return None, certain

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
