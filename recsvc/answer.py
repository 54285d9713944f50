"""What an answer holds (CONTRACT §5), for the service and the command line alike.

`NodeRef.id` is null for a person the asker does not follow.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import orjson
from typing_extensions import TypedDict

from recsvc.evidence import EvidenceNode, LiveRows

ExplainLevel = Literal["none", "summary", "full"]


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node of the graph: its kind, its id, and its title or name where it has one.

    The kind is user, item or category; on a path also a label of somebody else's graph.
    """

    kind: str
    id: str | None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one piece of evidence adds to the score through one signal."""

    signal: str
    evidence: NodeRef
    value: float


PathRelationship = TypedDict("PathRelationship", {"type": str, "from": int, "to": int})
"""One step of a path: its type, and the positions of its ends in the path's nodes."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path that exists in the graph, and what the meta-path it belongs to adds through it."""

    contribution: float
    nodes: tuple[NodeRef, ...]
    relationships: tuple[PathRelationship, ...]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Evidence without which the item is not in the list, and an item that then is."""

    without: tuple[NodeRef, ...]
    replaced_by: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item has its score: `contributions` and `remainder` add up to it.

    `paths`, `counterfactual` and `cypher` are only there where the full explanation was asked
    for; `counterfactual` is None where none was found.
    """

    text: str
    contributions: tuple[Contribution, ...]
    remainder: float
    paths: tuple[Path, ...] | None = None
    counterfactual: Counterfactual | None = None
    cypher: str | None = None


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One recommended item; `signals` add up to `score`.

    `placed_by` says which rule of a scenario put it at its place; None where its score did.
    """

    item_id: str
    title: str | None
    rank: int
    score: float
    signals: dict[str, float]
    explanation: Explanation | None = None
    placed_by: str | None = None


@dataclass(frozen=True, slots=True)
class ScenarioUsed:
    """The scenario that a list was made by.

    Attributes:
        name: its name; None for one that is only tried.
        revision: the revision of it.
        notes: which rules could not be kept, which pins are left out, and which filters leave too
            little.
    """

    name: str | None
    revision: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VariantUsed:
    """The variant of an experiment that a list was made by.

    Attributes:
        experiment: name of the experiment.
        name: of the variant.
        revision: of the experiment.
    """

    experiment: str
    name: str
    revision: int


@dataclass(frozen=True, slots=True)
class Source:
    """Whose evidence an answer is made from: what they do ends it.

    Attributes:
        users: the user and those they follow.
        anybody: whether what anybody does may change the answer.
        until: Unix seconds when a rule begins or ends to count, which changes it too.
    """

    users: frozenset[str]
    anybody: bool = False
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ListOrder:
    """What a list can be ranked again from, besides its scores.

    Attributes:
        k: how many items were asked for.
        diversity: see `RecommendationQuery`.
        left_out: items of the version that were not to be listed, though they score as high as what
            the list was chosen from: seen, not available, outside the categories, or named.
        losses: by item, what it loses by having been shown, in units of the spread of the scores.
        newcomers: items that came since the refresh and were looked for, in their order; None
            where nobody looked.
    """

    k: int
    diversity: float
    left_out: tuple[str, ...]
    losses: dict[str, float]
    newcomers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Proof:
    """What the scores of an answer can be made again from, see `recsvc.recommend.proof`.

    Attributes:
        version: of the blend.
        sha256: of its stored arrays; None where Neo4j was away and nobody could tell.
        weights: λ of each signal that counts, and of `base`.
        evidence: all of it, with its weights.
        live: rows that were read in the place of stored ones; None where none were.
        order: None for a list that is not ranked again.
    """

    version: int
    sha256: str | None
    weights: dict[str, float]
    evidence: tuple[EvidenceNode, ...]
    live: LiveRows | None
    order: ListOrder | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A list of recommendations.

    `unknown` names evidence, such as `item:55`, that the request named and the graph does not have.
    `short` says why there are fewer than k items; it is left out where there are k.
    `source` is not written; it is None where no user's evidence was read. `recommendation_id`
    names a list that was made for somebody, see `recsvc.outcomes.recommendation_id`.
    `scenario` is left out where the list was made without one, `variant` where no experiment
    runs, and `proof` where nobody asked for one.
    """

    request_id: str
    user_id: str | None
    k: int
    versions: dict[str, int]
    degraded: tuple[str, ...]
    took_ms: float
    items: tuple[RankedItem, ...]
    unknown: tuple[str, ...] = ()
    source: Source | None = None
    recommendation_id: str | None = None
    short: str | None = None
    scenario: ScenarioUsed | None = None
    variant: VariantUsed | None = None
    proof: Proof | None = None

    def with_unknown(self, unknown: tuple[str, ...]) -> "Answer":
        """The same with what the request named and is nowhere: anybody may bring it."""
        source = self.source
        if source is not None and unknown:
            source = replace(source, anybody=True)
        return replace(self, unknown=unknown, source=source)


@dataclass(frozen=True, slots=True)
class SimilarNode:
    """A neighbour of an item or user under one model."""

    id: str
    title: str | None
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class SimilarAnswer:
    """The nearest neighbours of an item or user.

    `reason` says why there are none; `degraded` names what could not be read.
    """

    id: str
    model: str
    version: int
    items: tuple[SimilarNode, ...]
    reason: str | None = None
    degraded: tuple[str, ...] = ()


def writable(answer: Answer | SimilarAnswer) -> dict[str, Any]:
    """The answer as orjson can write it: what was not asked for is left out, not null."""
    document = _members(answer)
    if isinstance(answer, Answer):
        del document["source"], document["items"]  # the items come last
        if answer.variant is None:
            del document["variant"]
        if answer.proof is None:
            del document["proof"]
        named = document.pop("recommendation_id")
        if named is not None:
            document = {"request_id": answer.request_id, "recommendation_id": named} | document
        if answer.short is None:
            del document["short"]
        if answer.scenario is None:
            del document["scenario"]
        document["items"] = [item_document(item) for item in answer.items]
    return document


def item_document(item: RankedItem) -> dict[str, Any]:
    """An item as orjson can write it."""
    members = _members(item)
    if item.placed_by is None:
        del members["placed_by"]
    if item.explanation is None:
        del members["explanation"]
    elif item.explanation.paths is None:
        explanation = _members(item.explanation)
        del explanation["paths"], explanation["counterfactual"], explanation["cypher"]
        members["explanation"] = explanation
    return members


def _members(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def as_document(answer: Answer | SimilarAnswer) -> dict[str, Any]:
    """The answer as JSON-ready values."""
    return orjson.loads(orjson.dumps(writable(answer)))


def explanation_document(answer: Answer) -> dict[str, Any]:
    """An answer about one item as one flat document: the answer's members and the item's."""
    document = as_document(answer)
    (item,) = document.pop("items")
    del document["k"]
    return document | item
