"""The scores of the best items when some evidence is left out. Pure.

A score is not the sum that is left when contributions are taken away: n_s(u) depends on all of a
user's evidence. It depends on it through the inner products of what the pieces add to all items,
though, so scores without some evidence are exact and need no pass over all items:

    rms_s² = Σ_{j,l left} <x_j, x_l> / items,    x_j = e_j · K_s(j, ·)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.evidence import Evidence, EvidenceRows
from recsvc.fusion import Blend, ScoredUser
from recsvc.ranking import best_items
from recsvc.signals import EmbeddingSignal, RowSignal, Signal

_VALUES_AT_ONCE = 1_000_000
_MOST_ITEMS, _LEAST_ITEMS = 150, 100
_CANCELLED = 1e-6
"""A sum of squares below this share of the whole is what rounding leaves of a difference."""


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
