"""The exact parts of scores: why an item has its score. Pure; reads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.answer import Contribution, NodeRef
from recsvc.blend.blend import BASE, Blend, Term
from recsvc.blend.scored_user import ScoredUser

DIVERSITY = "diversity"
"""Name of the part of a score that an item loses by being like one above it."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactScores:
    """The scores of a few items, taken apart.

    Attributes:
        items: rows of the items.
        parts: name of each signal, and what it adds to each item.
        base: what no evidence carries.
        adjustments: name of each part that is added after the blend, and what it adds to each item.
        terms: per signal, what each piece of evidence adds to each item; empty where nobody asks.
    """

    items: Int64[NDArray[np.int64], " k"]
    parts: tuple[tuple[str, Float64[NDArray[np.float64], " k"]], ...]
    base: Float64[NDArray[np.float64], " k"]
    adjustments: tuple[tuple[str, Float64[NDArray[np.float64], " k"]], ...] = ()
    terms: tuple[Term, ...] = ()

    @property
    def carried_by_none(self) -> Float64[NDArray[np.float64], " k"]:
        """The part of each score that no evidence carries."""
        return self.base + sum(values for _, values in self.adjustments)

    @property
    def blended(self) -> Float64[NDArray[np.float64], " k"]:
        """The score of each item by the blend alone, before any adjustment."""
        return self.base + sum((values for _, values in self.parts), np.zeros(len(self.items)))

    @property
    def undiversified(self) -> Float64[NDArray[np.float64], " k"]:
        """The score of each item but for what it loses by being like others."""
        own = (values for name, values in self.adjustments if name != DIVERSITY)
        return self.blended + sum(own)

    @property
    def scores(self) -> Float64[NDArray[np.float64], " k"]:
        """The sum of all parts of each item."""
        return self.blended + sum(values for _, values in self.adjustments)

    def adjusted(self, name: str, values: Float64[NDArray[np.float64], " k"]) -> "ExactScores":
        """The same with one more part that is added after the blend."""
        return replace(self, adjustments=(*self.adjustments, (name, values)))

    def take(self, columns: Int64[NDArray[np.int64], " n"]) -> "ExactScores":
        """Some of the items, in the order given, without terms."""
        parts, adjustments = (
            tuple((name, values[columns]) for name, values in some)
            for some in (self.parts, self.adjustments)
        )
        return ExactScores(self.items[columns], parts, self.base[columns], adjustments)

    def signals(self, column: int) -> dict[str, float]:
        """What each part adds to one item; the values add up to its score."""
        named = (*self.parts, *self.adjustments, (BASE, self.base))
        return {name: float(values[column]) for name, values in named}

    def with_terms(self, blend: Blend, scored: ScoredUser) -> "ExactScores":
        """The same with what each piece of evidence adds."""
        return replace(self, terms=tuple(blend.terms(scored, self.items)))


def take_apart(
    blend: Blend, scored: ScoredUser, items: Int64[NDArray[np.int64], " k"]
) -> ExactScores:
    """The exact parts of the scores of `items`, without terms."""
    return ExactScores(items, blend.parts(scored, items), blend.base(scored, items))


def contributions(
    exact: ExactScores, column: int, nodes: Sequence[NodeRef], *, limit: int
) -> tuple[tuple[Contribution, ...], float]:
    """The largest contributions to one item, and the sum of all that is not listed.

    Args:
        exact: the scores taken apart.
        column: which of its items.
        nodes: the evidence, in the order of `Evidence.nodes`.
        limit: how many to list.

    Returns:
        Contributions, largest first in absolute value; and the remainder, which holds the base.
    """
    if not exact.terms:
        return (), float(exact.carried_by_none[column])
    terms = sorted(exact.terms, key=lambda term: term.signal)
    value = np.concatenate([term.values[:, column] for term in terms])
    position = np.concatenate([term.position for term in terms])
    signal = np.repeat(np.arange(len(terms)), [len(term.position) for term in terms])
    size = np.abs(value)
    large = size > 0.0
    if 0 < limit < len(size):
        large &= size >= np.partition(size, len(size) - limit)[len(size) - limit]
    entries = np.flatnonzero(large)
    order = np.lexsort((position[entries], signal[entries], -size[entries]))
    entries = entries[order[:limit]]
    listed = tuple(
        Contribution(terms[signal[entry]].signal, nodes[int(position[entry])], float(value[entry]))
        for entry in entries.tolist()
    )
    value[entries] = 0.0
    return listed, float(exact.carried_by_none[column] + value.sum())
