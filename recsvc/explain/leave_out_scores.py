"""The scores of the best items when some evidence is left out. Pure.

A score is not the sum that is left when contributions are taken away: n_s(u) depends on all of a
user's evidence. It depends on it through the inner products of what the pieces add to all items,
though, so scores without some evidence are exact and need no pass over all items:

    rms_s² = Σ_{j,l left} <x_j, x_l> / items,    x_j = e_j · K_s(j, ·)

With its evidence a user loses a part of r_s(u) and r_base(u) too: see `recsvc.blend.reliance`.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.blend import Blend
from recsvc.blend.reliance import effective_count
from recsvc.blend.scored_user import ScoredUser
from recsvc.evidence import Evidence, EvidenceRows

_VALUES = 5_000
"""Pieces of evidence times items whose scores are followed: few pieces leave time for many."""
_MOST_ITEMS, _LEAST_ITEMS = 1_000, 100
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
        faded: what each item loses after the blend, whatever the evidence, at most 0; None where
            no item does.
    """

    items: Int64[NDArray[np.int64], " k"]
    allowed: Bool[NDArray[np.bool_], " items"]
    known: Bool[NDArray[np.bool_], " items"]
    own: Int64[NDArray[np.int64], " evidence"]
    faded: Float64[NDArray[np.float64], " items"] | None = None


class LeaveOneOutScores:
    """The scores of the best items when some evidence is left out.

    Attributes:
        items: rows of these items, ascending.
    """

    def __init__(
        self, blend: Blend, evidence: Evidence, scored: ScoredUser, listed: Listed
    ) -> None:
        """Take the scores of the items apart that come near the list."""
        pieces = len(evidence.nodes)
        near = int(np.clip(_VALUES // max(1, pieces), _LEAST_ITEMS, _MOST_ITEMS))
        best = scored.best(listed.allowed, max(near, 2 * len(listed.items)))
        self.items = np.sort(np.union1d(best, listed.items))
        self._reliance, self._counted = blend.reliance, scored.counted
        self._prior = blend.prior.astype(np.float64)[self.items]
        self._base = scored.base
        self._faded = 0.0 if listed.faded is None else listed.faded[self.items]
        column = np.full(len(listed.allowed), -1, np.int64)
        column[self.items] = np.arange(len(self.items))
        self._own = np.where(listed.own >= 0, column[listed.own], -1)
        self._scored, self._others = scored, listed.allowed & (column < 0)
        highest, lowest = scored.ends(self._others)
        self._outside = float(highest[0])
        self._popular, self._unpopular = float(highest[1]), float(lowest[1])
        self._highest, self._lowest = highest[2:, None], lowest[2:, None]
        self._take_apart(scored, pieces)
        spoken, speaking = len(scored.spoken), sum(map(bool, blend.weights))
        if spoken < speaking and any(node.weight < 0.0 for node in evidence.nodes):
            self._outside = np.inf  # a signal whose evidence cancels may speak without some of it
        self._place = np.full(pieces, -1, np.int64)
        self._gram = np.zeros((spoken, 0, 0))

    def _take_apart(self, scored: ScoredUser, pieces: int) -> None:
        """Take in what each piece of evidence adds by each signal that speaks."""
        count = len(scored.spoken)
        self._spoken = scored.spoken
        self._factor = np.array([factor for _, factor, _ in scored.spoken]).reshape(-1, 1)
        self._has = np.zeros((count, pieces), bool)
        self._terms = np.zeros((count, pieces, len(self.items)))
        self._towards, self._square, self._fall = np.zeros((3, count, pieces))
        self._whole = np.zeros((count, 1))
        for number, (signal, _, rows) in enumerate(scored.spoken):
            moments = signal.moments(rows)
            self._has[number, rows.position] = True
            self._terms[number, rows.position] = signal.terms(rows, self.items)
            self._towards[number, rows.position] = moments.towards
            self._square[number, rows.position] = moments.square
            self._fall[number, rows.position] = moments.fall
            self._whole[number] = moments.whole
        self._raw = self._terms.sum(axis=1)

    def without(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> tuple[Float64[NDArray[np.float64], "sets n"], Float64[NDArray[np.float64], " sets"]]:
        """Scores when each set of evidence is left out.

        Returns:
            Of `items`, -inf for an item that leaves with its evidence; and what no other item can
            score above, inf where that cannot be told.
        """
        base, factors, told = self._factors(sets)
        scores = base[:, None] * self._prior + factors.T @ self._raw - self._taken(sets, factors)
        scores += self._faded  # others lose nothing or something: their bound stays one
        own = self._own[sets]
        number, _ = np.nonzero(own >= 0)
        scores[number, own[own >= 0]] = -np.inf
        if not np.isfinite(self._outside):
            return scores, np.full(len(sets), self._outside)  # -inf where there is no other item
        more = factors - self._factor
        rise = more * np.where(more > 0.0, self._highest, self._lowest)
        rise += factors * self._fall[:, sets].sum(axis=2)
        more = base - self._base
        bounds = self._outside + more * np.where(more > 0.0, self._popular, self._unpopular)
        return scores, bounds + np.where(told, rise, np.inf).sum(axis=0)

    def most_of_others(self, positions: Int64[NDArray[np.int64], " size"]) -> float:
        """What no item beside `items` can score above without a set of evidence.

        It is lower than the bound of `without`, and takes a pass over the scores of all items. An
        item with the target vector t loses at most ‖Σ_j e_j source_j‖ · ‖t‖ with the evidence j.
        """
        base, factors, told = self._factors(positions[None])
        if not np.isfinite(self._outside):
            return self._outside
        if not told.all():
            return np.inf
        gone: list[EvidenceRows] = []
        for _, _, rows in self._spoken:
            of_set = (rows.position[:, None] == positions).any(axis=1)
            gone.append(EvidenceRows(rows.position[of_set], rows.row[of_set], rows.weight[of_set]))
        return self._scored.most_without(self._others, float(base[0]), factors[:, 0], gone)

    def _factors(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> tuple[
        Float64[NDArray[np.float64], " sets"],
        Float64[NDArray[np.float64], "signals sets"],
        Bool[NDArray[np.bool_], "signals sets"],
    ]:
        """What stands before the sums without each set.

        Returns:
            λ_base · r_base(u); λ_s · r_s(u) · n_s(u), 0 where no evidence is left; and whether that
            is more than rounding.
        """
        left = self._has[:, sets].sum(axis=2) < self._has.sum(axis=1)[:, None]
        square = self._whole - 2.0 * self._towards[:, sets].sum(axis=2) + self._squares(sets)
        sure = left & (square > _CANCELLED * self._whole)
        ratio = np.divide(self._whole, square, out=np.zeros_like(square), where=sure)
        base, change = self._relied(sets)
        return base, self._factor * change * np.sqrt(ratio), sure | ~left

    def _relied(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> tuple[Float64[NDArray[np.float64], " sets"], Float64[NDArray[np.float64], "signals sets"]]:
        """λ_base · r_base(u) without each set, and what r_s(u) is then multiplied by."""
        powers = np.stack([self._counted, np.square(self._counted)])
        whole = powers.sum(axis=2)[:, :, None]
        left = whole - powers[:, :, sets].sum(axis=3)
        for number in np.flatnonzero((left[1] < _CANCELLED * whole[1]).any(axis=0)).tolist():
            left[:, :, number] = np.delete(powers, sets[number], axis=2).sum(axis=2)
        before, after = effective_count(*whole), effective_count(*left)
        base = self._base * self._reliance.base(after[0]) / self._reliance.base(before[0])
        change = np.ones((len(self._spoken), len(sets)))
        for number, (signal, _, _) in enumerate(self._spoken):
            relied = (
                self._reliance.signal(signal.name, signal.kind, *counts)
                for counts in (after, before)
            )
            change[number] = np.divide(*relied)
        return base, change

    def _squares(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> Float64[NDArray[np.float64], "signals sets"]:
        """‖Σ_j x_j‖² over the evidence j of each set."""
        if sets.shape[1] == 1:
            return self._square[:, sets[:, 0]]
        if (self._place[sets] < 0).any():
            self._multiply(np.unique(sets))
        place = self._place[sets]
        return self._gram[:, place[:, :, None], place[:, None, :]].sum(axis=(2, 3))

    def _multiply(self, members: Int64[NDArray[np.int64], " m"]) -> None:
        """Make the inner products between some pieces of evidence: sets of several need them."""
        m = len(members)
        self._place[:] = -1
        self._place[members] = np.arange(m)
        self._gram = np.zeros((len(self._spoken), m, m))
        for number, (signal, _, rows) in enumerate(self._spoken):
            chosen = np.flatnonzero(self._place[rows.position] >= 0)
            own = self._place[rows.position[chosen]]
            if len(own):
                some = EvidenceRows(rows.position[chosen], rows.row[chosen], rows.weight[chosen])
                self._gram[number, own[:, None], own] = signal.inner_products(some)

    def _taken(
        self,
        sets: Int64[NDArray[np.int64], "sets size"],
        factors: Float64[NDArray[np.float64], "signals sets"],
    ) -> Float64[NDArray[np.float64], "sets n"]:
        """Σ_s λ_s · n_s · Σ_j x_j(i) over the evidence j of each set."""
        signals, pieces, n = self._terms.shape
        count, size = sets.shape
        entry = sets[:, None, :] + pieces * np.arange(signals)[:, None]
        value = np.repeat(factors.T, size, axis=1)
        chosen = sp.csr_matrix(
            (value.ravel(), entry.ravel(), np.arange(count + 1) * signals * size),
            shape=(count, signals * pieces),
        )
        return np.asarray(chosen @ self._terms.reshape(signals * pieces, n))
