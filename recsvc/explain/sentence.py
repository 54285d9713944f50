"""The sentence of an explanation: what carries a score, said as a person would say it. Pure.

No claim goes beyond the numbers. What is named adds at least 2% of all that speaks for the item;
people are counted, never named.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from babel.lists import format_list
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.answer import NodeRef
from recsvc.event_kinds import named_as
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.explain.contributions import ExactScores
from recsvc.phrases import Phrase, TextSettings

LEAST_SHARE = 0.02
"""What adds less than this share of all that speaks for the item is not named."""
LONGEST_NAME = 80
"""Characters after which a title is cut."""

_NAMED = 3
_BY_INTERACTION = "followed_user_item"
"""The signal through which a followed user speaks only for what they did something with."""
_WORDED: Mapping[str, str] = {"content": "described", "transitions": "after"}
"""Signals with a text of their own: where one of them carries more than half of what an item adds,
that text names the item, in the place of what the user did with it."""
_UNSEEN = ("Cc", "Cf", "Cs")
_JOINERS = "\u200c\u200d"
"""Unseen too, but part of the spelling of Persian words and of some emoji."""


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """What the numbers carry, for each of k items.

    Attributes:
        scores: the sum of all parts.
        base: what no evidence adds.
        strength: what evidence adds, where that is above 0.
        least: what has to be reached to be named.
        strong: positions of the items and categories that reach it, the strongest first.
        worded: by text, whether a signal of `_WORDED` carries what a piece of evidence adds.
        known: followed users who did something with the item: how many, and what they add.
        linked: all followed users who add something: how many, and what they add.
    """

    scores: Float64[NDArray[np.float64], " k"]
    base: Float64[NDArray[np.float64], " k"]
    strength: Float64[NDArray[np.float64], " k"]
    least: Float64[NDArray[np.float64], " k"]
    strong: list[list[int]]
    worded: Mapping[str, Bool[NDArray[np.bool_], "evidence k"]]
    known: tuple[Int64[NDArray[np.int64], " k"], Float64[NDArray[np.float64], " k"]]
    linked: tuple[Int64[NDArray[np.int64], " k"], Float64[NDArray[np.float64], " k"]]

    def wording(self, position: int, column: int) -> str | None:
        """The text of its own of what a piece of evidence adds to an item, where it has one."""
        return next((text for text, holds in self.worded.items() if holds[position, column]), None)


class _Strong(NamedTuple):
    """A piece of evidence that is named.

    Attributes:
        node: the evidence.
        ref: the same by title.
        worded: the text that names it, where that is another than what the user did.
    """

    node: EvidenceNode
    ref: NodeRef
    worded: str | None


def sentences(
    exact: ExactScores,
    evidence: Evidence,
    nodes: Sequence[NodeRef],
    text: TextSettings,
    *,
    people_event: str | None = None,
) -> list[str]:
    """Why each item is recommended.

    Args:
        exact: the scores taken apart.
        evidence: what they come from.
        nodes: the same evidence by title, in the order of `Evidence.nodes`.
        text: what to say it in.
        people_event: the one kind of event of the graph; None where there are several, since
            which of them a followed user did is not known here.

    Returns:
        One sentence for each of the items, on one line.
    """
    carried = _carried(exact, evidence)
    know = _of(text.people, people_event, "interaction")

    def said(column: int) -> str:
        if carried.scores[column] <= 0:
            return text.nothing
        strong = [
            _Strong(evidence.nodes[p], nodes[p], carried.wording(p, column))
            for p in carried.strong[column]
        ]
        reasons = _named_reasons(strong, text)
        for (count, value), phrase in ((carried.known, know), (carried.linked, text.linked)):
            number = int(count[column])
            if number and value[column] >= carried.least[column]:
                reasons.append(filled(phrase, number, text, count=str(number)))
                break
        by_evidence = carried.strength[column] > carried.base[column]
        if reasons:
            said = text.because if by_evidence else text.mostly_popular
            return _ended(said.format(reasons=_joined(reasons, text)))
        return text.many if by_evidence else text.popular

    return [said(column) for column in range(len(exact.items))]


def _carried(exact: ExactScores, evidence: Evidence) -> _Carried:
    by_node = np.zeros((len(evidence.nodes), len(exact.items)))
    did = np.zeros(by_node.shape, bool)
    own = {signal: np.zeros(by_node.shape) for signal in _WORDED}
    for term in exact.terms:  # a position comes once in a term
        by_node[term.position] += term.values
        if term.signal == _BY_INTERACTION:
            did[term.position] = term.values > 0
        if term.signal in own:
            own[term.signal][term.position] = term.values
    worded = {_WORDED[signal]: 2.0 * values > by_node for signal, values in own.items()}
    positive = by_node.clip(min=0)
    strength = positive.sum(axis=0)
    least = LEAST_SHARE * (strength + exact.base)
    people = [p for p, node in enumerate(evidence.nodes) if node.kind == "user"]
    crowds = (positive[people] * did[people], positive[people])
    known, linked = ((np.count_nonzero(adds, axis=0), adds.sum(axis=0)) for adds in crowds)
    positive[people] = 0.0
    return _Carried(
        by_node.sum(axis=0) + exact.base, exact.base, strength, least,
        _strongest(positive, least), worded, known, linked,
    )  # fmt: skip


def _strongest(
    value: Float64[NDArray[np.float64], "evidence k"], least: Float64[NDArray[np.float64], " k"]
) -> list[list[int]]:
    """The positions that reach `least` for each item, the largest value first."""
    position, column = np.nonzero((value >= least) & (value > 0))
    order = np.lexsort((position, -value[position, column]))
    strongest: list[list[int]] = [[] for _ in range(len(least))]
    for at, which in zip(column[order].tolist(), position[order].tolist(), strict=True):
        strongest[at].append(which)
    return strongest


def _named_reasons(strong: Sequence[_Strong], text: TextSettings) -> list[str]:
    """What the user did, likes and dislikes; `strong` is the evidence, the strongest first."""
    named: dict[str, list[tuple[Phrase, NodeRef]]] = {"items": [], "categories": [], "names": []}
    for node, ref, worded in strong:
        if node.weight < 0:
            placeholder, phrase = "names", text.unlike
        elif node.kind == "category":
            placeholder, phrase = "categories", _of(text.like, node.category_kind, "category")
        elif worded is not None:
            placeholder, phrase = "items", getattr(text, worded)
        else:
            placeholder, phrase = "items", _of(text.you, node.event, "interaction")
        if len(named[placeholder]) < _NAMED:
            named[placeholder].append((phrase, ref))
    return [
        reason
        for placeholder, those in named.items()
        for reason in _by_phrase(those, placeholder, text)
    ]


def _of(phrases: Mapping[str, Phrase], kind: str | None, general: str) -> Phrase:
    kind = kind or general
    return phrases.get(kind) or phrases[named_as(kind, phrases) or general]


def _by_phrase(
    named: Sequence[tuple[Phrase, NodeRef]], placeholder: str, text: TextSettings
) -> list[str]:
    """One reason for each phrase, with the names that belong to it."""
    groups: dict[str, tuple[Phrase, dict[str, None]]] = {}
    for phrase, node in named:
        groups.setdefault(str(phrase), (phrase, {}))[1][shown_name(node)] = None
    return [
        filled(phrase, len(names), text, **{placeholder: format_list([*names], locale=text.locale)})
        for phrase, names in groups.values()
    ]


def filled(phrase: Phrase, number: int, text: TextSettings, **words: str) -> str:
    """The phrase in the plural form of `number`. What is put in is never read as a template."""
    if not isinstance(phrase, str):
        phrase = phrase.get(text.locale.plural_form(number), phrase["other"])
    return phrase.format(**words)


def because_of(node: NodeRef, event: str | None, text: TextSettings) -> str:
    """The title of what is recommended because of one item, without a full stop."""
    phrase = _of(text.you, event, "interaction")
    reason = filled(phrase, 1, text, items=shown_name(node))
    return text.because.format(reasons=reason).removesuffix(".")


def _joined(reasons: Sequence[str], text: TextSettings) -> str:
    *first, last = reasons
    return f"{text.between.join(first)}{text.before_last}{last}" if first else last


def _ended(said: str) -> str:
    """With one full stop, also after a name such as R.E.M."""
    return said[:-1] if said.endswith("..") else said


def shown_name(node: NodeRef) -> str:
    """The title of a node, else its id, on one line and of a length that can be read."""
    return _plain(node.title or "") or _plain(str(node.id)) or "…"


def _plain(name: str) -> str:
    """Without line breaks and what is invisible or changes the direction of other text."""
    name = " ".join(name.split())
    if not name.isprintable():
        visible = (c for c in name if c in _JOINERS or unicodedata.category(c) not in _UNSEEN)
        name = " ".join("".join(visible).strip(_JOINERS).split())
    if len(name) <= LONGEST_NAME:
        return name
    end = LONGEST_NAME - 1
    while end > 1 and (unicodedata.combining(name[end]) or name[end] in _JOINERS):
        end -= 1  # an accent stays with its letter
    return f"{name[:end].rstrip()}…"
