"""What the scores of an answer can be made again from, and making them again.

A proof names the arrays by their SHA-256 and holds the rest of what a score is made of: the
evidence with its weights, the weights λ, the rows that were read live, and which items were left
out of the list. What rules and exploration add after the blend stands in the answer itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from recsvc.answer import Answer, NodeRef, Proof, RankedItem
from recsvc.blend.blend import BASE, Blend
from recsvc.blend.fairness import FAIRNESS
from recsvc.errors import ProofError
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.explain.contributions import DIVERSITY, ExactScores, contributions, take_apart
from recsvc.outcomes.fatigue import FATIGUE
from recsvc.recommend.exploring import EXPLORATION
from recsvc.recommend.fresh_rows import with_live_rows
from recsvc.recommend.list_order import order_of, ranked_again
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.ruled_list import RULE
from recsvc.snapshot.arrays import Snapshot

MOST_PROOF_BYTES: Final = 64_000_000
MOST_ITEMS: Final = 500
"""The longest list that there is."""
AFTER_THE_BLEND: Final = frozenset({RULE, FAIRNESS, FATIGUE, DIVERSITY, EXPLORATION})
"""Parts of a score that do not come from the arrays."""
ROUNDING: Final = 1e-9
"""How far, of its size, a number may be off that another kind of processor added up."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of making an answer again.

    Attributes:
        items: how many items were made again.
        numbers: how many numbers of theirs were compared: parts, contributions, remainders, scores.
        off: the most that one is off, of its size; 0 where all are the same to the last bit.
        wrong: what is not what the arrays give, in words.
        weights: the signals whose weight is not that of the version: the request or its scenario
            chose it.
        after: parts that are taken as the answer states them.
        ranked: how many items of the version were ranked again; None where the order of the list is
            taken as the answer states it.
    """

    items: int
    numbers: int
    off: float
    wrong: tuple[str, ...]
    weights: tuple[str, ...]
    after: tuple[str, ...]
    ranked: int | None = None


class ToldAnswer(BaseModel):
    """What an answer says of its items, and its proof."""

    items: Annotated[list[RankedItem], Field(max_length=MOST_ITEMS)]
    proof: Proof


def told_answer(document: bytes) -> ToldAnswer:
    """An answer as it was sent.

    Raises:
        ProofError: it is not one, or has no proof.
    """
    if len(document) > MOST_PROOF_BYTES:
        raise ProofError(f"expected an answer of at most {MOST_PROOF_BYTES:,} bytes")
    try:
        return ToldAnswer.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise ProofError(
            f"this is no answer with a proof ({where}: {first['msg']}): ask for one with "
            "`proof=true`, or `recsvc recommend USER --proof FILE`"
        ) from None


def with_proof(answer: Answer, listing: Listing) -> Answer:
    """The answer with what its scores can be made again from, where that is asked for."""
    if not listing.query.proof:
        return answer
    snapshot, asker = listing.snapshot, listing.asker
    weights, nodes = _weights_of(snapshot.blend), asker.evidence.nodes
    version = snapshot.versions["hybrid"]
    proof = Proof(version, snapshot.sha256, weights, nodes, asker.live, order_of(listing))
    return replace(answer, proof=proof)


def verify(snapshot: Snapshot, proof: Proof, items: Sequence[RankedItem]) -> Verified:
    """Make an answer again, from arrays and its proof alone: its scores, and its order.

    Args:
        snapshot: the arrays that the proof names.
        proof: of the answer.
        items: as the answer shows them.

    Raises:
        ProofError: it names no arrays or other ones, signals that the version does not have, or
            rows that it does not take.
    """
    evidence = Evidence(proof.evidence)
    blend = _proven_blend(snapshot, proof, evidence)
    scored = blend.score(evidence)
    stored = [item for item in items if snapshot.items.row(item.item_id) >= 0]
    rows = snapshot.items.rows([item.item_id for item in stored])
    exact = take_apart(blend, scored, rows).with_terms(blend, scored)
    compared = _Compared()
    compared.places(items)
    for item in items:
        if item not in stored:
            compared.newcomer(item)
    for column, item in enumerate(stored):
        _compare(compared, exact, column, item, evidence.nodes)
    order, made_again = proof.order, set[str]()
    if order is not None:
        made_again = {DIVERSITY, FATIGUE}
        _compare_order(
            compared, items, ranked_again(replace(snapshot, blend=blend), evidence, order)
        )
    own = _weights_of(snapshot.blend)
    after = {name for item in items for name in item.signals} & AFTER_THE_BLEND
    return Verified(
        items=len(items),
        numbers=compared.numbers,
        off=compared.off,
        wrong=tuple(compared.wrong),
        weights=tuple(name for name, value in own.items() if proof.weights.get(name) != value),
        after=tuple(sorted(after - made_again)),
        ranked=None if order is None else len(snapshot.items),
    )


def _proven_blend(snapshot: Snapshot, proof: Proof, evidence: Evidence) -> Blend:
    """The blend that a proof says an answer was made by.

    Raises:
        ProofError: see `verify`.
    """
    if proof.sha256 is None:
        raise ProofError(
            "the proof names no arrays, since Neo4j was away when the answer was made: ask for "
            "another one"
        )
    if proof.sha256 != snapshot.sha256:
        raise ProofError(
            f"the arrays of version {proof.version} are others by now ({snapshot.sha256}, the "
            f"proof names {proof.sha256}): somebody or something was deleted since, or it was "
            "another graph"
        )
    try:
        blend = with_live_rows(snapshot, evidence, proof.live).blend
    except (KeyError, TypeError, ValueError) as error:  # no service writes such rows
        raise ProofError(f"the rows that were read live are none ({error!r})") from None
    return _with_weights(blend, proof.weights)


class _Compared:
    """Numbers that were compared."""

    def __init__(self) -> None:
        self.numbers, self.off, self.wrong = 0, 0.0, list[str]()

    def number(self, what: str, told: float, made: float, size: float = 0.0) -> None:
        """Compare a number that is the sum of others, of this size at most."""
        self.numbers += 1
        off = 0.0 if told == made else abs(told - made) / max(size, abs(told), abs(made))
        if off <= ROUNDING and math.isfinite(told):
            self.off = max(self.off, off)
        else:  # NaN and infinity too
            self.wrong.append(f"{what}: the answer says {told!r}, the arrays give {made!r}")

    def names(self, what: str, told: Sequence[object], made: Sequence[object]) -> None:
        if told != made:
            self.wrong.append(f"{what}: the answer has {told}, the arrays give {made}")

    def places(self, items: Sequence[RankedItem]) -> None:
        """No item stands twice, nor another one at the place of one."""
        ranks = [item.rank for item in items]
        self.names("ranks", ranks, [*range(1, len(items) + 1)])
        ids = [item.item_id for item in items]
        self.names("items", ids, [*dict.fromkeys(ids)])

    def newcomer(self, item: RankedItem) -> None:
        """An item that the version does not have: the blend adds nothing to it."""
        parts = {name: v for name, v in item.signals.items() if name not in AFTER_THE_BLEND}
        self.names(f"parts of {item.item_id}", [*parts], [BASE])
        self.number(f"{BASE} of {item.item_id}", parts.get(BASE, 0.0), 0.0)
        score = sum(item.signals.values())
        self.number(f"score of {item.item_id}", item.score, score)
        if told := item.explanation:
            listed = [each.signal for each in told.contributions]
            self.names(f"contributions to {item.item_id}", listed, [])
            self.number(f"remainder of {item.item_id}", told.remainder, score)


def _compare(
    compared: _Compared,
    exact: ExactScores,
    column: int,
    item: RankedItem,
    nodes: Sequence[EvidenceNode],
) -> None:
    """Compare one item with what the arrays give."""
    name = item.item_id
    for part, value in item.signals.items():
        if part in AFTER_THE_BLEND:
            exact = exact.adjusted(part, np.full(len(exact.items), value))
    made = exact.signals(column)
    compared.names(f"parts of {name}", sorted(item.signals), sorted(made))
    for part in item.signals.keys() & made.keys():
        compared.number(f"{part} of {name}", item.signals[part], made[part])
    size = max(abs(value) for part, value in made.items() if part not in AFTER_THE_BLEND)
    compared.number(f"score of {name}", item.score, float(exact.scores[column]), size)
    told = item.explanation
    if told is None:
        return
    refs = [NodeRef(node.kind, node.id) for node in nodes]
    listed, remainder = contributions(exact, column, refs, limit=len(told.contributions))
    compared.names(
        f"contributions to {name}",
        [f"{each.signal} {each.evidence.kind}:{each.evidence.id}" for each in told.contributions],
        [f"{each.signal} {each.evidence.kind}:{each.evidence.id}" for each in listed],
    )
    for each, again in zip(told.contributions, listed, strict=False):
        compared.number(f"a contribution to {name}", each.value, again.value)
    compared.number(f"remainder of {name}", told.remainder, remainder, size)


def _compare_order(
    compared: _Compared, items: Sequence[RankedItem], made: Sequence[RankedItem]
) -> None:
    """Compare a list with the one that comes of ranking all items."""
    if len(items) != len(made):
        compared.wrong.append(
            f"length: the answer has {len(items)} items, the arrays give {len(made)}"
        )
    for place, (told, again) in enumerate(zip(items, made, strict=False), start=1):
        compared.names(f"place {place}", told.item_id, again.item_id)
        if told.item_id == again.item_id:
            for part in told.signals.keys() & again.signals.keys() & {DIVERSITY, FATIGUE}:
                what = f"{part} of {told.item_id}, ranked again"
                compared.number(what, told.signals[part], again.signals[part])
            after = [sorted(each.signals.keys() & AFTER_THE_BLEND) for each in (told, again)]
            compared.names(f"parts of {told.item_id} after the blend", *after)


def _weights_of(blend: Blend) -> dict[str, float]:
    names = (signal.name for signal in blend.signals)
    return dict(zip(names, blend.weights, strict=True)) | {BASE: blend.base_weight}


def _with_weights(blend: Blend, weights: Mapping[str, float]) -> Blend:
    """The blend with the signals and weights of a proof."""
    by_name = {signal.name: signal for signal in blend.signals}
    named = [name for name in weights if name != BASE]
    if missing := [name for name in named if name not in by_name]:
        raise ProofError(
            f"the proof weighs {missing[0]!r}, which the version does not have: "
            f"expected some of {[*by_name]}"
        )
    return replace(
        blend,
        signals=tuple(by_name[name] for name in named),
        weights=tuple(weights[name] for name in named),
        base_weight=weights.get(BASE, blend.base_weight),
    )
