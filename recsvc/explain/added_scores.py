"""The scores of an item and of its rivals with items added to somebody's evidence. Pure.

With a set A of items added, each with the weight w, the raw scores of a signal of items are

    X'_s(i) = X_s(i) + w Σ_{a in A} K_s(a, i)

and its scale n_s follows from inner products over all items, so a score with A is exact and takes
no pass over all items:

    ‖X'_s‖² = ‖X_s‖² + 2w Σ_a <K_s(a, ·), X_s> + w² Σ_{a,b} <K_s(a, ·), K_s(b, ·)>
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.blend import Blend
from recsvc.blend.ranking import best_items
from recsvc.blend.reliance import effective_count
from recsvc.evidence import Evidence, EvidenceRows
from recsvc.signals.base import Alone, Signal

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
        alone: what items add by themselves; None where they add nothing.
    """

    signal: Signal
    factor: Float64[NDArray[np.float64], " sizes"]
    raw: Float64[NDArray[np.float64], " rivals"]
    values: Float64[NDArray[np.float64], " items"]
    whole: float
    alone: Callable[[Int64[NDArray[np.int64], " n"], int], Alone] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Added:
    """What some items add to one signal, each with its weight.

    Attributes:
        terms: x_a of the item and its rivals.
        towards: <x_a, X_s>.
        square: ‖x_a‖².
        products: <x_a, x_b>, where they are added together.
    """

    terms: Float64[NDArray[np.float64], "n rivals"]
    towards: Float64[NDArray[np.float64], " n"]
    square: Float64[NDArray[np.float64], " n"]
    products: Float64[NDArray[np.float64], "n n"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AddedItems:
    """Some items that may be added, and what they add.

    Attributes:
        rows: of the items.
        by_signal: what they add to each signal, as far as the item and its first rivals go.
        rival: which of these rivals each of them is, counted from 0; -1 where it is none.
        count: how many these rivals are.
    """

    rows: Int64[NDArray[np.int64], " n"]
    by_signal: tuple[_Added, ...]
    rival: Int64[NDArray[np.int64], " n"]
    count: int

    def against(self, count: int) -> "AddedItems":
        """The same as far as so many rivals go."""
        fewer = tuple(replace(own, terms=own.terms[:, : count + 1]) for own in self.by_signal)
        return AddedItems(
            self.rows, fewer, np.where(self.rival < count, self.rival, -1), min(count, self.count)
        )


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
        self._rival = np.full(len(blend.prior), -1)
        self._rival[self.items[1:]] = np.arange(len(self.items) - 1)

    def place(self, added: tuple[int, ...]) -> int:
        """The rank of the item among all that are allowed, with some items added."""
        items = self.added(np.array(added), together=True)
        scores = self._alike[len(added)].copy()
        for told, own in zip(self._told, items.by_signal, strict=True):
            scale = _scale(told, len(added), _square(told, own, np.arange(len(added))[None]))[0]
            pieces = _pieces(told.signal, items.rows, self._weight)
            scores += scale * told.values
            if pieces is not None:
                scores += scale * told.signal.raw_scores(pieces)
        item = self.items[0]
        before = scores > scores[item]
        before[:item] |= scores[:item] == scores[item]
        before &= self._allowed
        before[items.rows] = False
        return int(before.sum()) + 1

    def added(
        self,
        rows: Int64[NDArray[np.int64], " n"],
        *,
        rivals: int | None = None,
        together: bool = False,
    ) -> AddedItems:
        """What some items add.

        Args:
            rows: of the items.
            rivals: how many rivals matter, the best; all where None.
            together: whether sets of them are asked about, see `of_sets`.
        """
        count = len(self.items) - 1 if rivals is None else min(rivals, len(self.items) - 1)
        by_signal = tuple(self._added(told, rows, count, together) for told in self._told)
        rival = self._rival[rows]
        return AddedItems(rows, by_signal, np.where(rival < count, rival, -1), count)

    def of_singles(self, items: AddedItems) -> Float64[NDArray[np.float64], "n rivals"]:
        """The scores with each of some items added."""
        compared = slice(items.count + 1)
        scores = np.tile(self._alike[1, self.items[compared]], (len(items.rows), 1))
        for told, own in zip(self._told, items.by_signal, strict=True):
            square = told.whole + 2.0 * own.towards + own.square
            scores += _scale(told, 1, square)[:, None] * (told.raw[compared] + own.terms)
        return scores

    def of_sets(
        self, items: AddedItems, sets: Int64[NDArray[np.int64], "sets size"]
    ) -> Float64[NDArray[np.float64], "sets rivals"]:
        """The scores with each of some sets added.

        Args:
            items: made to be added together.
            sets: which of them, by their place among `items`.
        """
        compared = slice(items.count + 1)
        scores = np.tile(self._alike[sets.shape[1], self.items[compared]], (len(sets), 1))
        for told, own in zip(self._told, items.by_signal, strict=True):
            raw = np.tile(told.raw[compared], (len(sets), 1))
            for column in sets.T:
                raw += own.terms[column]
            raw *= _scale(told, sets.shape[1], _square(told, own, sets))[:, None]
            scores += raw
        return scores

    def largest(self, items: AddedItems) -> "Partner":
        """What one of some items can do at most beside another one."""
        gains, lengths, turns = [], [], []
        for own in items.by_signal:
            ahead = own.terms[:, :1] - own.terms[:, 1:]
            gains.append(ahead.max(axis=0))
            lengths.append(np.sqrt(own.square.max(initial=0.0)))
            turns.append(own.towards.min(initial=0.0))
        return Partner(tuple(gains), tuple(lengths), tuple(turns))

    def may_pair(
        self, items: AddedItems, partner: "Partner"
    ) -> Float64[NDArray[np.float64], "n rivals-1"]:
        """By how much the item is ahead of each rival at most with one of `items` and another one.

        n_s with both lies between what the lengths allow (triangle inequality), and is at most what
        it is where the other one turns away most.
        """
        compared = slice(items.count + 1)
        alike = self._alike[2, self.items[compared]]
        ahead = np.tile(alike[0] - alike[1:], (len(items.rows), 1))
        for told, added, gain, length, turn in zip(
            self._told, items.by_signal, partner.gains, partner.lengths, partner.turns, strict=True
        ):
            alone = np.maximum(told.whole + 2.0 * added.towards + added.square, 0.0)
            least = np.maximum(np.sqrt(alone) - length, 0.0) ** 2
            away = alone + 2.0 * (turn - np.sqrt(added.square) * length)
            least = np.maximum(least, away)
            most = (np.sqrt(alone) + length) ** 2
            low, high = _scale(told, 2, most), _scale(told, 2, least, none=np.inf)
            own = told.raw[compared] + added.terms
            own = own[:, :1] - own[:, 1:] + gain
            with np.errstate(invalid="ignore"):
                bound = own * np.where(own > 0.0, high[:, None], low[:, None])
            ahead += np.where(own == 0.0, 0.0, bound)
        return ahead

    def _added(
        self, told: _Told, rows: Int64[NDArray[np.int64], " n"], rivals: int, together: bool
    ) -> _Added:
        none, weight = np.zeros(len(rows)), self._weight
        products = np.zeros((len(rows), len(rows))) if together else None
        if told.alone is None:
            return _Added(np.zeros((len(rows), rivals + 1)), none, none, products)
        alone = told.alone(rows, rivals + 1)
        if together and len(rows):
            pieces = _pieces(told.signal, rows, weight)
            products = None if pieces is None else told.signal.inner_products(pieces)
        return _Added(
            weight * alone.terms, weight * alone.towards, weight**2 * alone.square, products
        )


def _square(
    told: _Told, added: _Added, sets: Int64[NDArray[np.int64], "sets size"]
) -> Float64[NDArray[np.float64], " sets"]:
    """‖X_s‖² with each set added."""
    assert added.products is not None
    square = np.full(len(sets), told.whole)
    for first in sets.T:
        square += 2.0 * added.towards[first]
        for second in sets.T:
            square += added.products[first, second]
    return square


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
    raw, values, whole = np.zeros(len(items)), np.zeros(count), 0.0
    if len(rows):
        raw, values = own.sums(rows, items), own.raw_scores(rows).astype(np.float64)
        whole = own.mean_square(rows) * count
    alone = signal.alone(items, values) if _hears(signal) else None
    return _Told(signal, factor * np.sqrt(count), raw, values, whole, alone)


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


def _hears(signal: Signal) -> bool:
    """Whether an added item says something in a signal: it has no time here."""
    return signal.kind == "item" and signal.half_life is None


def _pieces(
    signal: Signal, rows: Int64[NDArray[np.int64], " n"], weight: float
) -> EvidenceRows | None:
    """Some items as evidence of a signal; None where they say nothing in it."""
    if not _hears(signal):
        return None
    return EvidenceRows(np.arange(len(rows)), rows, np.full(len(rows), weight))
