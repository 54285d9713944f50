"""The scores of an item and of its rivals with items added to somebody's evidence. Pure.

With a set A of items added, each with the weight w, the raw scores of a signal of items are

    X'_s(i) = X_s(i) + w Σ_{a in A} K_s(a, i)

and its scale n_s follows from inner products over all items, so a score with A is exact and takes
no pass over all items:

    ‖X'_s‖² = ‖X_s‖² + 2w Σ_a <K_s(a, ·), X_s> + w² Σ_{a,b} <K_s(a, ·), K_s(b, ·)>
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.blend import Blend
from recsvc.blend.ranking import best_items
from recsvc.blend.reliance import effective_count
from recsvc.evidence import Evidence, EvidenceRows
from recsvc.signals.base import Signal

LARGEST_SET = 5
"""Most items that are added."""

_RIVALS = 64
"""Items besides k that an item is compared with: the best."""
_CANCELLED = 1e-6
"""A sum of squares below this share of the whole is what rounding leaves of a difference."""


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What is known of a signal with items added to the evidence.

    Attributes:
        signal: the signal, with the rows of all items.
        factor: λ_s · r_s(u) for each number of added items, [sizes].
        raw: X_s of the item and its rivals.
        values: X_s of every item.
        whole: ‖X_s‖².
    """

    signal: Signal
    factor: Float64[NDArray[np.float64], " sizes"]
    raw: Float64[NDArray[np.float64], " rivals"]
    values: Float64[NDArray[np.float64], " items"]
    whole: float


@dataclass(frozen=True, slots=True, eq=False)
class _Added:
    """What some items add to one signal, each with its weight.

    Attributes:
        terms: x_a of the item and its rivals.
        towards: <x_a, X_s>.
        square: ‖x_a‖².
    """

    terms: Float64[NDArray[np.float64], "n rivals"]
    towards: Float64[NDArray[np.float64], " n"]
    square: Float64[NDArray[np.float64], " n"]


class AddedScores:
    """The scores of an item and of its rivals with items added to somebody's evidence.

    Args:
        blend: what scores, with the rows of the evidence as they are now.
        stored: the signals with the rows of all items, in the order of the blend.
        evidence: what is known, as it counts once something is added.
        item: row of the item.
        allowed: which items may be in the list.
        weight: of an added item.
        k: length of the list.
        after: what each item gets after the blend, whatever the evidence; None where nothing.

    Attributes:
        items: rows of the item and then of its rivals.
    """

    def __init__(
        self,
        blend: Blend,
        stored: Sequence[Signal],
        evidence: Evidence,
        item: int,
        allowed: Bool[NDArray[np.bool_], " items"],
        weight: float,
        k: int,
        after: Float64[NDArray[np.float64], " items"] | None = None,
    ) -> None:
        scored = blend.score(evidence)
        others = allowed.copy()
        others[item] = False
        self.items = np.append(item, best_items(scored.scores, others, k + _RIVALS))
        self._allowed, self._weight = allowed, weight
        counts = _counts(scored.counted, weight)
        relied = blend.base_weight * blend.reliance.base(counts[0])
        self._alike = np.multiply.outer(relied, blend.prior.astype(np.float64))
        if after is not None:
            self._alike += after
        self._told = [
            _told(signal, own, weight * blend.reliance.signal(signal.name, signal.kind, *counts),
                  evidence, self.items, len(blend.prior))
            for signal, own, weight in zip(stored, blend.signals, blend.weights, strict=True)
            if weight
        ]  # fmt: skip
        self._told = [told for told in self._told if told.whole or told.signal.kind == "item"]

    def place(self, added: tuple[int, ...]) -> int:
        """The rank of the item among all that are allowed, with some items added."""
        sets = np.array([added])
        scores = self._alike[len(added)].copy()
        for told in self._told:
            scale = _scale(told, len(added), self._square(told, sets))[0]
            pieces = _pieces(told.signal, sets[0], self._weight)
            scores += scale * told.values
            if pieces is not None:
                scores += scale * told.signal.raw_scores(pieces)
        item = self.items[0]
        before = scores > scores[item]
        before[:item] |= scores[:item] == scores[item]
        before &= self._allowed
        before[list(added)] = False
        return int(before.sum()) + 1

    def of_singles(
        self, rows: Int64[NDArray[np.int64], " n"]
    ) -> Float64[NDArray[np.float64], "n rivals"]:
        """The scores with each of some items added."""
        scores = np.tile(self._alike[1, self.items], (len(rows), 1))
        for told in self._told:
            added = self._added(told, rows)
            square = told.whole + 2.0 * added.towards + added.square
            scores += _scale(told, 1, square)[:, None] * (told.raw + added.terms)
        return scores

    def of_sets(
        self, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> Float64[NDArray[np.float64], "sets rivals"]:
        """The scores with each of some sets of items added."""
        members, places = np.unique(sets, return_inverse=True)
        places = places.reshape(sets.shape)
        scores = np.tile(self._alike[sets.shape[1], self.items], (len(sets), 1))
        for told in self._told:
            terms = self._added(told, members).terms[places].sum(axis=1)
            scale = _scale(told, sets.shape[1], self._square(told, sets))
            scores += scale[:, None] * (told.raw + terms)
        return scores

    def largest(self, rows: Int64[NDArray[np.int64], " n"]) -> "Partner":
        """What one of some items can do at most beside another one."""
        gains, lengths, turns = [], [], []
        for told in self._told:
            added = self._added(told, rows)
            ahead = added.terms[:, :1] - added.terms[:, 1:]
            gains.append(ahead.max(axis=0))
            lengths.append(np.sqrt(added.square.max(initial=0.0)))
            turns.append(added.towards.min(initial=0.0))
        return Partner(tuple(gains), tuple(lengths), tuple(turns))

    def may_pair(
        self, rows: Int64[NDArray[np.int64], " n"], partner: "Partner"
    ) -> Float64[NDArray[np.float64], "n rivals-1"]:
        """By how much the item is ahead of each rival at most with one of `rows` and another one.

        n_s with both lies between what the lengths allow (triangle inequality), and is at most what
        it is where the other one turns away most.
        """
        alike = self._alike[2, self.items]
        ahead = np.tile(alike[0] - alike[1:], (len(rows), 1))
        for told, gain, length, turn in zip(
            self._told, partner.gains, partner.lengths, partner.turns, strict=True
        ):
            added = self._added(told, rows)
            alone = np.maximum(told.whole + 2.0 * added.towards + added.square, 0.0)
            least = np.maximum(np.sqrt(alone) - length, 0.0) ** 2
            away = alone + 2.0 * (turn - np.sqrt(added.square) * length)
            least = np.maximum(least, away)
            most = (np.sqrt(alone) + length) ** 2
            low, high = _scale(told, 2, most), _scale(told, 2, least, none=np.inf)
            own = told.raw + added.terms
            own = own[:, :1] - own[:, 1:] + gain
            with np.errstate(invalid="ignore"):
                bound = own * np.where(own > 0.0, high[:, None], low[:, None])
            ahead += np.where(own == 0.0, 0.0, bound)
        return ahead

    def _added(self, told: _Told, rows: Int64[NDArray[np.int64], " n"]) -> _Added:
        pieces = _pieces(told.signal, rows, self._weight)
        if pieces is None:
            none = np.zeros(len(rows))
            return _Added(np.zeros((len(rows), len(self.items))), none, none)
        return _Added(
            told.signal.terms(pieces, self.items),
            told.signal.towards(pieces, told.values),
            told.signal.moments(pieces).square,
        )

    def _square(
        self, told: _Told, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> Float64[NDArray[np.float64], " sets"]:
        """‖X_s‖² with each set added."""
        members, places = np.unique(sets, return_inverse=True)
        places = places.reshape(sets.shape)
        pieces = _pieces(told.signal, members, self._weight)
        if pieces is None:
            return np.full(len(sets), told.whole)
        towards = told.signal.towards(pieces, told.values)[places].sum(axis=1)
        gram = told.signal.inner_products(pieces)
        among = gram[places[:, :, None], places[:, None, :]].sum(axis=(1, 2))
        return told.whole + 2.0 * towards + among


@dataclass(frozen=True, slots=True, eq=False)
class Partner:
    """What some item, whichever it is, does at most beside another one, by signal.

    Attributes:
        gains: how much more it adds to the item than to each rival.
        lengths: ‖x_b‖.
        turns: the least <x_b, X_s>, at most 0.
    """

    gains: tuple[Float64[NDArray[np.float64], " rivals-1"], ...]
    lengths: tuple[float, ...]
    turns: tuple[float, ...]

    def beside(self, other: "Partner") -> "Partner":
        """That of the items of both."""
        return Partner(
            tuple(map(np.maximum, self.gains, other.gains)),
            tuple(map(max, self.lengths, other.lengths)),
            tuple(map(min, self.turns, other.turns)),
        )


def _told(
    signal: Signal,
    own: Signal,
    factor: Float64[NDArray[np.float64], " sizes"],
    evidence: Evidence,
    items: Int64[NDArray[np.int64], " rivals"],
    count: int,
) -> _Told:
    rows = own.weighed(evidence.rows(own.kind, own.ids))
    if not len(rows):
        return _Told(signal, factor * np.sqrt(count), np.zeros(len(items)), np.zeros(count), 0.0)
    values = own.raw_scores(rows).astype(np.float64)
    whole = own.mean_square(rows) * count
    return _Told(signal, factor * np.sqrt(count), own.sums(rows, items), values, whole)


def _scale(
    told: _Told, size: int, square: Float64[NDArray[np.float64], " sets"], none: float = 0.0
) -> Float64[NDArray[np.float64], " sets"]:
    """λ_s · r_s · n_s where so many items are added; `none` where nothing speaks."""
    speaks = square > _CANCELLED * told.whole
    scale = np.full(len(square), none)
    np.divide(told.factor[size], np.sqrt(square, where=speaks, out=np.ones_like(square)),
              where=speaks, out=scale)  # fmt: skip
    return scale


def _counts(
    counted: Float64[NDArray[np.float64], "2 evidence"], weight: float
) -> Float64[NDArray[np.float64], "2 sizes"]:
    """The effective counts with 0, 1, … items added."""
    more = np.arange(LARGEST_SET + 1) * np.array([[1.0], [0.0]])
    total = counted.sum(axis=1)[:, None] + more * max(weight, 0.0)
    square = np.square(counted).sum(axis=1)[:, None] + more * max(weight, 0.0) ** 2
    return effective_count(total, square)


def _pieces(
    signal: Signal, rows: Int64[NDArray[np.int64], " n"], weight: float
) -> EvidenceRows | None:
    """Some items as evidence of a signal; None where it starts from something else, or from times.

    What is added has no time here.
    """
    if signal.kind != "item" or signal.half_life is not None:
        return None
    return EvidenceRows(np.arange(len(rows)), rows, np.full(len(rows), weight))
