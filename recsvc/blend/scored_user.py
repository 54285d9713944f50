"""What is known of one user, and passes over the scores that all items have by it.

Each answer of a pass is of all items, or of some in a row: `recsvc.blend.shards` asks several
machines for theirs, and puts the answers together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.bounds import ItemBounds
from recsvc.blend.ranking import best_items
from recsvc.evidence import EvidenceRows
from recsvc.signals.base import Signal

_FEW = 4_096
"""Items that are scored exactly at a time."""
_FLOAT32 = 2.0**-20
"""What a sum of some float32 numbers is wrong at most, of the sum of their sizes."""

Ranked = tuple[Int64[NDArray[np.int64], " k"], Float64[NDArray[np.float64], " k"]]
"""Rows of items, best first, and the scores by which they are ordered."""


@dataclass(frozen=True, eq=False)  # without slots, which leave no room for what is made once
class ScoredUser:
    """What is known of one user, and the scores that all items have by it.

    Attributes:
        prior: popularity of each item.
        base: λ_base · r_base(u).
        counted: the weight above 0 of each piece of evidence that is an item, and of each that is
            somebody the user follows, of those that a signal knows; see `Reliance`.
        spoken: the signals that add to the scores, each with λ_s · r_s(u) · n_s(u) and its
            evidence.
        bounds: of very many items, what tells fast which of them are none of the best.
    """

    prior: Float32[NDArray[np.float32], " items"]
    base: float
    counted: Float64[NDArray[np.float64], "2 evidence"]
    spoken: tuple[tuple[Signal, float, EvidenceRows], ...]
    bounds: ItemBounds | None = None

    @cached_property
    def raw(self) -> tuple[Float32[NDArray[np.float32], " items"], ...]:
        """What each signal of `spoken` gives every item."""
        return tuple(signal.raw_scores(rows) for signal, _, rows in self.spoken)

    @cached_property
    def scores(self) -> Float32[NDArray[np.float32], " items"]:
        """The score of each item."""
        scores = np.float32(self.base) * self.prior
        for (_, factor, _), raw in zip(self.spoken, self.raw, strict=True):
            scores += np.float32(factor) * raw
        return scores

    def best(
        self, allowed: Bool[NDArray[np.bool_], " items"], count: int
    ) -> Int64[NDArray[np.int64], " k"]:
        """See `best_items`: the same by these scores, of which few are made where bounds do."""
        return self.ranked(allowed, count)[0]

    def ranked(self, allowed: Bool[NDArray[np.bool_], " items"], count: int) -> Ranked:
        """The best, and by which scores: float32 ones, or exact ones where there are bounds."""
        if self.bounds is None:
            rows = best_items(self.scores, allowed, count)
            return rows, self.scores[rows].astype(np.float64)
        if np.count_nonzero(allowed) > max(count, _FEW):
            near, error = self.near
            first = best_items(near, allowed, count)
            if not len(first):
                return first, np.zeros(0)
            allowed = allowed & (near >= near[first[-1]] - np.float32(2.0 * error))
        rows = np.flatnonzero(allowed)
        scores = np.concatenate(
            [self.exact(rows[at : at + _FEW]) for at in range(0, len(rows), _FEW)] or [np.zeros(0)]
        )
        order = np.lexsort((rows, -scores))[:count]
        return rows[order], scores[order]

    def at(self, items: Int64[NDArray[np.int64], " n"]) -> Float32[NDArray[np.float32], " n"]:
        """The scores of some items."""
        return self.scores[items]

    def count_before(
        self,
        may: Bool[NDArray[np.bool_], " items"],
        score: float,
        row: int,
        after: Float64[NDArray[np.float64], " items"] | None = None,
    ) -> int:
        """How many items have a higher score than one item, or the same and a smaller row.

        Args:
            may: which items count.
            score: of the one item, with what it gets after the blend.
            row: of the one item; the number of items for one that comes after all of its score.
            after: what each item gets after the blend; None where none gets anything.
        """
        scores = self.scores if after is None else self.scores + after
        before = scores > score
        before[:row] |= scores[:row] == score
        return int(np.count_nonzero(before & may))

    def ends(
        self, items: Bool[NDArray[np.bool_], " items"]
    ) -> Float64[NDArray[np.float64], "2 parts"]:
        """The largest and the smallest score of some items, and the same of the score's parts.

        The parts are the prior, and what each signal of `spoken` gives. Where there is no item the
        largest is -inf and the smallest inf.
        """
        parts = [each[items] for each in (self.scores, self.prior, *self.raw)]
        return np.array(
            [[each.max(initial=-np.inf) for each in parts],
             [each.min(initial=np.inf) for each in parts]], np.float64,
        )  # fmt: skip

    def most_without(
        self,
        items: Bool[NDArray[np.bool_], " items"],
        base: float,
        factors: Float64[NDArray[np.float64], " signals"],
        gone: Sequence[EvidenceRows],
    ) -> float:
        """What none of some items can score above without some evidence; -inf where there is none.

        Args:
            items: those.
            base: in the place of `base`.
            factors: in the place of that of each signal in `spoken`.
            gone: of each signal in `spoken`, the evidence that is left out.
        """
        most = np.float32(base) * self.prior
        for (signal, _, _), raw, factor, rows in zip(
            self.spoken, self.raw, factors.tolist(), gone, strict=True
        ):
            most += np.float32(factor) * (raw + signal.most_gained(rows))
        return float(most[items].max(initial=-np.inf))

    def exact(self, items: Int64[NDArray[np.int64], " n"]) -> Float64[NDArray[np.float64], " n"]:
        """The scores of some items, added up in float64."""
        own = (factor * signal.sums(rows, items) for signal, factor, rows in self.spoken)
        return sum(own, self.base * self.prior[items].astype(np.float64))

    @cached_property
    def near(self) -> tuple[Float32[NDArray[np.float32], " items"], float]:
        """The score of each item, nearly, and the most that one is wrong."""
        assert self.bounds is not None
        profiles: dict[int, Float64[NDArray[np.float64], " dim"]] = {}
        entries: list[
            tuple[Int64[NDArray[np.int64], " n"], Float64[NDArray[np.float64], " n"]]
        ] = []
        near = np.float32(self.base) * self.prior
        error, size = 0.0, abs(self.base) * float(self.prior.max(initial=0.0))
        for signal, factor, rows in self.spoken:
            profile = signal.profile(rows)
            if profile is not None and signal.item_vectors in self.bounds:
                profiles[id(signal.item_vectors)] = factor * profile
            elif profile is not None:  # λ is so small that it hardly decides
                error += factor * signal.largest(rows)
            elif (own_entries := signal.entries(rows)) is not None:
                entries.append((own_entries.item, factor * own_entries.value))
            else:
                raw = np.float32(factor) * signal.raw_scores(rows)
                size += float(np.abs(raw).max(initial=0.0))
                near += raw
        if entries:
            item, value = (np.concatenate(column) for column in zip(*entries, strict=True))
            size += float(np.abs(value).sum())
            near += np.bincount(item, value, minlength=len(near)).astype(np.float32)
        products, wrong, largest = self.bounds.products(profiles)
        near += products
        return near, error + wrong + _FLOAT32 * (size + largest)
