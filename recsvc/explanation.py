"""Contributions, sentences and paths: why an item has its score. Pure; reads nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.answer import Contribution, NodeRef
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceKind
from recsvc.fusion import BASE, Blend, ScoredUser, Term
from recsvc.settings import EventSettings

_NAMED_IN_TEXT = 3
_POPULAR = "Popular with many people."
_LEAST_SHARE = 0.02
"""What carries less than this share of the score is not named in the sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactScores:
    """The scores of a few items, taken apart.

    Attributes:
        items: rows of the items.
        terms: per signal, what each piece of evidence adds to each item.
        base: what no evidence carries.
    """

    items: Int64[NDArray[np.int64], " k"]
    terms: tuple[Term, ...]
    base: Float64[NDArray[np.float64], " k"]

    @property
    def scores(self) -> Float64[NDArray[np.float64], " k"]:
        """The sum of all parts of each item."""
        return self.base + sum(
            (term.values.sum(axis=0) for term in self.terms), np.zeros(len(self.items))
        )

    def take(self, columns: Int64[NDArray[np.int64], " n"]) -> "ExactScores":
        """Some of the items, in the order given."""
        terms = tuple(replace(term, values=term.values[:, columns]) for term in self.terms)
        return ExactScores(self.items[columns], terms, self.base[columns])

    def signals(self, column: int) -> dict[str, float]:
        """What each signal adds to one item; the values add up to its score."""
        parts = {term.signal: float(term.values[:, column].sum()) for term in self.terms}
        return parts | {BASE: float(self.base[column])}


def take_apart(
    blend: Blend, scored: ScoredUser, items: Int64[NDArray[np.int64], " k"]
) -> ExactScores:
    """The exact parts of the scores of `items`."""
    return ExactScores(items, tuple(blend.terms(scored, items)), blend.base(items))


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
        return (), float(exact.base[column])
    terms = sorted(exact.terms, key=lambda term: term.signal)
    value = np.concatenate([term.values[:, column] for term in terms])
    position = np.concatenate([term.position for term in terms])
    signal = np.repeat(np.arange(len(terms)), [len(term.position) for term in terms])
    order = np.lexsort((position, signal, -np.abs(value)))
    order = order[value[order] != 0]
    listed = tuple(
        Contribution(terms[signal[entry]].signal, nodes[int(position[entry])], float(value[entry]))
        for entry in order[:limit].tolist()
    )
    return listed, float(exact.base[column] + value[order[limit:]].sum())


def sentence(
    exact: ExactScores,
    column: int,
    evidence: Evidence,
    nodes: Sequence[NodeRef],
    events: Mapping[str, EventSettings],
) -> str:
    """Why one item is recommended, as a person would say it.

    Only evidence that carries a real share of the score is named, the strongest first; people
    are counted and never named.
    """
    by_node = np.zeros(len(nodes))
    for term in exact.terms:
        np.add.at(by_node, term.position, term.values[:, column])
    least = _LEAST_SHARE * float(by_node.clip(min=0).sum() + exact.base[column])
    strong: dict[EvidenceKind, list[int]] = {kind: [] for kind in EVIDENCE_KINDS}
    for position in np.argsort(-by_node, kind="stable").tolist():
        if by_node[position] > 0:
            strong[nodes[position].kind].append(position)
    items, categories = (
        [p for p in strong[kind][:_NAMED_IN_TEXT] if by_node[p] >= least]
        for kind in ("item", "category")
    )
    people = strong["user"] if by_node[strong["user"]].sum() >= least else []
    reasons = [
        *_item_reasons(items, evidence, nodes, events),
        *_category_reason([nodes[p] for p in categories]),
        *_people_reason(len(people)),
    ]
    if reasons:
        return f"Because {_joined(reasons)}."
    return "It fits many things you like a little." if by_node.max(initial=0) > 0 else _POPULAR


def _item_reasons(
    positions: Sequence[int],
    evidence: Evidence,
    nodes: Sequence[NodeRef],
    events: Mapping[str, EventSettings],
) -> list[str]:
    by_verb: dict[str, list[str]] = {}
    for position in positions:
        event = events.get(evidence.nodes[position].event or "") or events["interaction"]
        by_verb.setdefault(event.verb, []).append(_name(nodes[position]))
    return [f"you {verb} {_joined(names)}" for verb, names in by_verb.items()]


def _category_reason(nodes: Sequence[NodeRef]) -> list[str]:
    return [f"you like {_joined([_name(node) for node in nodes])}"] if nodes else []


def _people_reason(count: int) -> list[str]:
    if count == 0:
        return []
    people = "1 person" if count == 1 else f"{count} people"
    return [f"{people} you follow chose it too"]


def _name(node: NodeRef) -> str:
    return node.title or str(node.id)


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
