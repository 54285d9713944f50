"""What an item owes to a few pieces of evidence: without them it would not be in the list. Pure.

A score is not the sum that is left when contributions are taken away: n_s(u) depends on all of a
user's evidence. It depends on it through the inner products of what the pieces add to all items,
though, so scores without some evidence are exact and need no pass over all items:

    rms_s² = Σ_{j,l left} <x_j, x_l> / items,    x_j = e_j · K_s(j, ·)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.evidence import Evidence, EvidenceRows
from recsvc.fusion import Blend, ScoredUser
from recsvc.ranking import best_items
from recsvc.signals import EmbeddingSignal, RowSignal, Signal

LARGEST_SET = 5
"""Most pieces of evidence in a counterfactual."""

_VALUES_AT_ONCE = 1_000_000
_MOST_ITEMS, _LEAST_ITEMS = 150, 100
_PAIR_EVIDENCE = 30
"""Pieces of evidence that are tried in pairs: those that carry most."""
_TIE = 1e-5
"""Differences below this share of a score may be rounding, and decide nothing."""
_CANCELLED = 1e-6
"""A sum of squares below this share of the whole is what rounding leaves of a difference."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The list that counterfactuals are about.

    Attributes:
        items: rows of its items, best first.
        allowed: which items may be in it.
        known: items that are known to exist and to be available, or not allowed.
        own: for each piece of evidence, the row of the item that leaves with it; -1 for none.
    """

    items: Int64[NDArray[np.int64], " k"]
    allowed: Bool[NDArray[np.bool_], " items"]
    known: Bool[NDArray[np.bool_], " items"]
    own: Int64[NDArray[np.int64], " evidence"]


class EvidenceLeftOut:
    """The scores of the best items when some evidence is left out.

    Attributes:
        items: rows of these items, ascending.
    """

    def __init__(
        self, blend: Blend, evidence: Evidence, scored: ScoredUser, listed: Listed
    ) -> None:
        """Take the scores of the items apart that come near the list."""
        pieces = len(evidence.nodes)
        count = int(np.clip(_VALUES_AT_ONCE // max(1, pieces), _LEAST_ITEMS, _MOST_ITEMS))
        count = max(count, 2 * len(listed.items))
        allowed = listed.allowed
        best = best_items(scored.scores, allowed, count)
        self.items = np.sort(np.union1d(best, listed.items))
        self._base = blend.base(self.items)
        self._parts = [
            _Part([each for each in scored.spoken if each[0].kind == kind], self.items, pieces)
            for kind in dict.fromkeys(signal.kind for signal, _, _ in scored.spoken)
        ]
        self._between = np.zeros(pieces, bool)
        column = np.full(len(allowed), -1, np.int64)
        column[self.items] = np.arange(len(self.items))
        self._own = np.where(listed.own >= 0, column[listed.own], -1)
        outside = allowed.copy()
        outside[self.items] = False
        rest = scored.scores[outside]
        self._outside = float(rest.max()) if len(rest) else -np.inf
        if len(scored.spoken) < sum(map(bool, blend.weights)) and any(
            node.weight < 0.0 for node in evidence.nodes
        ):
            self._outside = np.inf  # a signal whose evidence cancels may speak without some of it

    def without(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> tuple[Float64[NDArray[np.float64], "sets n"], Float64[NDArray[np.float64], " sets"]]:
        """Scores when each set of evidence is left out.

        Returns:
            Of `items`, -inf for an item that leaves with its evidence; and what no other item can
            score above, inf where that cannot be told.
        """
        if sets.shape[1] > 1 and not self._between[sets].all():
            members = np.unique(sets)
            self._between[:] = False
            self._between[members] = True
            for part in self._parts:
                part.between(members)
        scores = np.tile(self._base, (len(sets), 1))
        bounds = np.full(len(sets), self._outside)  # -inf where there is no other item
        for part in self._parts:
            left, rise = part.without(sets)
            scores += left
            if self._outside > -np.inf:
                bounds += rise
        own = self._own[sets]
        number, _ = np.nonzero(own >= 0)
        scores[number, own[own >= 0]] = -np.inf
        return scores, bounds

    def weight(self, items: Int64[NDArray[np.int64], " k"]) -> Float64[NDArray[np.float64], " n"]:
        """The most that each piece of evidence adds to one of some of the items."""
        columns = np.searchsorted(self.items, items)
        nothing = np.zeros((len(self._own), len(items)))
        return sum((part.values(columns) for part in self._parts), nothing).max(axis=1)


class _Part:
    """What the signals of one kind of evidence add: x_j = e_j · K_s(j, ·), and inner products."""

    def __init__(
        self,
        spoken: Sequence[tuple[Signal, float, EvidenceRows]],
        items: Int64[NDArray[np.int64], " n"],
        evidence: int,
    ) -> None:
        self._spoken = spoken
        known = np.unique(np.concatenate([rows.position for _, _, rows in spoken]))
        n, count = len(known), len(spoken)
        self._place = np.full(evidence, n, np.int64)  # the last place is that of nothing
        self._place[known] = np.arange(n)
        self._factor = np.array([factor for _, factor, _ in spoken])[:, None]
        self._has = np.zeros((count, n + 1), bool)
        self._terms = np.zeros((count, n + 1, len(items)))
        self._towards, self._square, self._fall = np.zeros((3, count, n + 1))
        self._whole, self._largest = np.zeros((2, count, 1))
        for number, (signal, _, rows) in enumerate(spoken):
            own = self._place[rows.position]
            found = _moments(signal, rows, items)
            self._has[number, own] = True
            self._terms[number, own] = found.terms
            self._towards[number, own] = found.towards
            self._square[number, own] = found.square
            self._fall[number, own] = found.fall
            self._whole[number], self._largest[number] = found.whole, found.largest
        self._raw = self._terms.sum(axis=1)
        self._local = np.zeros(evidence, np.int64)
        self._gram = np.zeros((count, 1, 1))

    def between(self, members: Int64[NDArray[np.int64], " m"]) -> None:
        """Make the inner products between some pieces of evidence: sets of several need them."""
        m = len(members)
        self._local = np.full(len(self._place), m, np.int64)
        self._local[members] = np.arange(m)
        self._gram = np.zeros((len(self._spoken), m + 1, m + 1))
        for number, (signal, _, rows) in enumerate(self._spoken):
            chosen = np.flatnonzero(self._local[rows.position] < m)
            own = self._local[rows.position[chosen]]
            if len(own):
                some = EvidenceRows(rows.position[chosen], rows.row[chosen], rows.weight[chosen])
                self._gram[number, own[:, None], own] = _inner_products(signal, some)

    def values(self, columns: Int64[NDArray[np.int64], " k"]) -> NDArray[np.float64]:
        """What each piece of evidence adds to some of the items, [evidence, k]."""
        return np.tensordot(self._factor[:, 0], self._terms[:, :, columns], axes=1)[self._place]

    def without(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> tuple[Float64[NDArray[np.float64], "sets n"], Float64[NDArray[np.float64], " sets"]]:
        """What the signals add to the items without each set, and the most any item can gain."""
        place = self._place[sets]
        left = self._has[:, place].sum(axis=2) < self._has.sum(axis=1)[:, None]
        square = self._whole - 2.0 * self._towards[:, place].sum(axis=2)
        if sets.shape[1] > 1:
            local = self._local[sets]
            square += self._gram[:, local[:, :, None], local[:, None, :]].sum(axis=(2, 3))
        else:
            square += self._square[:, place].sum(axis=2)
        told = left & (square > _CANCELLED * self._whole)
        ratio = np.divide(self._whole, square, out=np.zeros_like(square), where=told)
        factors = self._factor * np.sqrt(ratio)  # λ_s · n_s(u); 0 where nothing is left
        fall = factors * self._fall[:, place].sum(axis=2)
        rise = np.abs(factors - self._factor) * self._largest + fall
        gain = np.where(left & ~told, np.inf, rise).sum(axis=0)
        return factors.T @ self._raw - self._taken(place, factors), gain

    def _taken(
        self,
        place: Int64[NDArray[np.int64], "sets size"],
        factors: Float64[NDArray[np.float64], "signals sets"],
    ) -> NDArray[np.float64]:
        """Σ_s λ_s · n_s · Σ_j x_j(i) over the evidence j of each set, [sets, n]."""
        signals, nodes, n = self._terms.shape
        sets, size = place.shape
        entry = place[:, None, :] + nodes * np.arange(signals)[:, None]
        value = np.repeat(factors.T, size, axis=1)
        chosen = sp.csr_matrix(
            (value.ravel(), entry.ravel(), np.arange(sets + 1) * signals * size),
            shape=(sets, signals * nodes),
        )
        return np.asarray(chosen @ self._terms.reshape(-1, n))


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """What is known of the x_j of one signal.

    Attributes:
        terms: on a few items.
        towards: <x_j, Σ_l x_l> over all items.
        square: <x_j, x_j>.
        fall: the most that x_j takes from an item.
        whole: <Σ_j x_j, Σ_l x_l>.
        largest: the largest |Σ_j x_j| of an item.
    """

    terms: Float64[NDArray[np.float64], "evidence n"]
    towards: Float64[NDArray[np.float64], " evidence"]
    square: Float64[NDArray[np.float64], " evidence"]
    fall: Float64[NDArray[np.float64], " evidence"]
    whole: float
    largest: float


def _moments(signal: Signal, rows: EvidenceRows, items: Int64[NDArray[np.int64], " n"]) -> _Moments:
    if isinstance(signal, EmbeddingSignal):
        own = rows.weight[:, None] * signal.source[rows.row].astype(np.float64)
        turned = own @ signal.gram
        profile = own.sum(axis=0)
        square = np.einsum("jd,jd->j", turned, own)
        length = np.linalg.norm(own, axis=1) * signal.longest
        # No item has more than the length of the profile times that of the longest target.
        largest = float(np.linalg.norm(profile)) * signal.longest
        terms = signal.terms(rows, items)
        return _Moments(
            terms, turned @ profile, square, length, float(profile @ (own @ signal.gram).sum(0)),
            largest,
        )  # fmt: skip
    if isinstance(signal, RowSignal):
        item, value, lengths = signal.entries(rows)
        owner = np.repeat(np.arange(len(rows)), lengths)
        whole = np.bincount(item, value, minlength=signal.rows.shape[1])
        towards, square = (
            np.bincount(owner, value * other, minlength=len(rows)).astype(np.float64)
            for other in (whole[item], value)
        )
        fall = np.zeros(len(rows))
        negative = value < 0.0
        if negative.any():
            np.maximum.at(fall, owner[negative], -value[negative])
        return _Moments(
            signal.terms(rows, items), towards, square, fall, float(whole @ whole),
            float(np.abs(whole).max()),
        )  # fmt: skip
    raise TypeError(f"{type(signal).__name__} cannot be served: expected embeddings or rows")


def _inner_products(signal: Signal, rows: EvidenceRows) -> Float64[NDArray[np.float64], "n n"]:
    """<x_j, x_l> over all items."""
    if isinstance(signal, EmbeddingSignal):
        own = rows.weight[:, None] * signal.source[rows.row].astype(np.float64)
        return own @ signal.gram @ own.T
    assert isinstance(signal, RowSignal)
    item, value, lengths = signal.entries(rows)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    own = sp.csr_matrix((value, item, ends), shape=(len(rows), signal.rows.shape[1]))
    return (own @ own.T).toarray()


def find_removals(
    left_out: EvidenceLeftOut, listed: Listed, rank_again: Ranking, *, plain: bool, budget: int = 64
) -> tuple[Removal | None, ...]:
    """For each item of a list the smallest removal that was found.

    One piece of evidence is tried after the other, all of them; then pairs of those that carry
    most; then the pair that comes nearest is added to. A pair is named only where it is certain
    that no single piece does it. What the scores near the list cannot tell is ranked again.

    Args:
        left_out: scores without some evidence.
        listed: the list.
        rank_again: ranks all items anew.
        plain: the list is in the order of the scores, so that they can tell.
        budget: how often to rank again.

    Returns:
        One for each item of the list; None where no set of `LARGEST_SET` pieces was found.
    """
    if not len(listed.items):
        return ()
    search = _Search(left_out, listed, rank_again, plain=plain, budget=budget)
    found: dict[int, Removal] = {}
    left = search.try_sets(search.singles(), range(len(listed.items)), found, complete=True)
    strong = np.argsort(-left_out.weight(listed.items), kind="stable")[:_PAIR_EVIDENCE]
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


class _Search:
    """Tries sets of evidence on the items of one list."""

    def __init__(
        self,
        left_out: EvidenceLeftOut,
        listed: Listed,
        rank_again: Ranking,
        *,
        plain: bool,
        budget: int,
    ) -> None:
        self._left_out = left_out
        self._listed = listed
        self._rank_again = rank_again
        self._plain = plain
        self._budget = budget
        self._ranked: dict[tuple[int, ...], Int64[NDArray[np.int64], " k"]] = {}
        self._columns = np.searchsorted(left_out.items, listed.items)

    def measured(self, sets: Int64[NDArray[np.int64], "sets size"]) -> _Measured:
        """How near each set comes to moving each item out."""
        k = len(self._listed.items)
        scores, bounds = self._left_out.without(sets)
        own = scores[:, self._columns]
        missing = np.full((len(sets), max(0, k + 1 - scores.shape[1])), -np.inf)
        best = -np.partition(-np.hstack([scores, missing]), (k - 1, k), axis=1)
        last, next_ = best[:, k - 1 : k], best[:, k : k + 1]
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
            grown = [
                np.column_stack([np.tile(chosen, (len(others), 1)), others])
                for chosen in nearest.values()
                for others in [strong[~np.isin(strong, chosen)]]
            ]
            measured = self.measured(np.concatenate(grown))  # at once: each call has its price
            ends = np.cumsum([len(sets) for sets in grown]).tolist()
            tried = {
                item: measured.part(end - len(sets), end)
                for item, sets, end in zip(nearest, grown, ends, strict=True)
            }
            left = self.try_sets(tried, nearest, found)
            nearest = {item: tried[item].nearest(item) for item in left}

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
            return self._left_out.items[order[scores[order] > -np.inf]]
        chosen = tuple(tried.sets[number].tolist())
        if chosen not in self._ranked:
            if self._budget == 0:
                return None
            self._budget -= 1
            self._ranked[chosen] = self._rank_again(tried.sets[number])
        return self._ranked[chosen]
