"""What goes out over HTTP, as the OpenAPI document describes it.

Answers are not checked against these models: they are written from `recsvc.answer.as_document`, and
a contract test holds them against the models here.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from recsvc.service.schemas import Count, Document


class NodeDocument(Document):
    """A node of the graph; `id` is null for a person the asker does not follow.

    `kind` is `user`, `item` or `category`. On a path in a graph that is mapped it may be the label
    of another node in between, such as `order`, whose `id` is null.
    """

    kind: str
    id: str | None
    title: str | None


class ContributionDocument(Document):
    """What one piece of evidence adds to the score through one signal."""

    signal: str
    evidence: NodeDocument
    value: float


class PathRelationshipDocument(Document):
    """One step of a path; `from` and `to` are positions among its nodes."""

    type: str
    from_: Annotated[int, Field(alias="from", ge=0)]
    to: Annotated[int, Field(ge=0)]


class PathDocument(Document):
    """A path that exists in the graph, and what it adds to the score."""

    contribution: float
    nodes: list[NodeDocument]
    relationships: list[PathRelationshipDocument]


class CounterfactualDocument(Document):
    """Without this evidence the item is not in the list."""

    without: list[NodeDocument]
    replaced_by: str
    """An item that then is in the list."""


class ExplanationDocument(Document):
    """Why an item has its score: `contributions` and `remainder` add up to it."""

    text: str
    contributions: list[ContributionDocument]
    remainder: float
    paths: list[PathDocument] | None = None
    """Only with `explain=full`."""
    counterfactual: CounterfactualDocument | None = None
    """Only with `explain=full`; null where no set of five pieces of evidence was found."""
    cypher: str | None = None
    """Draws the paths in Neo4j Browser. Only with `explain=full`."""


class RankedItemDocument(Document):
    """One recommended item; `signals` add up to `score`."""

    item_id: str
    title: str | None
    rank: Annotated[int, Field(ge=1)]
    score: float
    signals: dict[str, float]
    explanation: ExplanationDocument | None = None
    """Absent with `explain=none`."""
    placed_by: str | None = None
    """The rule of a scenario that put it at its place. Absent where its score did."""


class ScenarioUsedDocument(Document):
    """The scenario that a list was made by."""

    name: str | None
    """Null for one that is only tried."""
    revision: int | None
    notes: list[str]
    """Quotas that could not be kept, pins that are left out, and filters that leave too little."""


class VariantDocument(Document):
    """The variant of an experiment that a list was made by."""

    experiment: str
    """Name of the experiment."""
    name: str
    """Of the variant."""
    revision: int
    """Of the experiment."""


class LiveRowsDocument(Document):
    """What was read in the place of stored rows."""

    followed: list[str]
    """The users that the asker follows."""
    changed: dict[str, list[str]]
    """By kind, of which evidence rows were read."""
    strengths: dict[str, dict[str, list[list[str] | list[float]]]]
    """By signal and evidence: items, and the strength of each."""


class ProvenEvidenceDocument(Document):
    """A piece of evidence, as it counted."""

    kind: Literal["item", "user", "category"]
    id: str
    weight: float
    event: str | None
    category_kind: str | None
    since: int | None


class ListOrderDocument(Document):
    """What a list can be ranked again from, besides its scores."""

    k: int
    diversity: float
    left_out: list[str]
    """Items that were not to be listed, though they score high enough for it."""
    losses: dict[str, float]
    """By item, what it loses by having been shown, in units of the spread of the scores."""
    newcomers: list[str] | None
    """Items that came since the refresh; null where nobody looked for them."""


class ProofDocument(Document):
    """What the scores of an answer can be made again from."""

    version: int
    sha256: str | None
    """Of the stored arrays; null where Neo4j was away."""
    weights: dict[str, float]
    """λ of each signal that counts, and of `base`."""
    evidence: list[ProvenEvidenceDocument]
    live: LiveRowsDocument | None
    order: ListOrderDocument | None
    """Null for a list that is not ranked again, as one under a scenario."""


class _Answered(Document):
    request_id: str
    """The same as the header `X-Request-Id`."""
    user_id: str | None
    """Null where the evidence came in the body."""
    versions: dict[str, int]
    """The active version of each model."""
    unknown: list[str] = Field([])
    """What the request named and the graph does not have, such as `item:55`: a hundred at most."""
    degraded: list[str]
    """What had to be left out: Neo4j was away, or a deadline passed."""
    took_ms: float
    scenario: ScenarioUsedDocument | None = None
    """Absent where the list was made without one."""
    variant: VariantDocument | None = None
    """Absent where no experiment runs, the user is in none of its variants, or something is
    `degraded`."""


class RecommendationsDocument(_Answered):
    """A list of recommendations, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "5f0c",
                    "recommendation_id": "AWkwAbCd",
                    "user_id": "2",
                    "k": 1,
                    "versions": {"hybrid": 3, "lightgcn": 3},
                    "degraded": [],
                    "took_ms": 6.1,
                    "items": [
                        {
                            "item_id": "289",
                            "title": "Britney Spears",
                            "rank": 1,
                            "score": 1.3,
                            "signals": {"lightgcn": 0.9, "pagerank": 0.3, "base": 0.1},
                            "explanation": {
                                "text": "Because you listened to Kylie Minogue.",
                                "contributions": [
                                    {
                                        "signal": "lightgcn",
                                        "evidence": {
                                            "kind": "item",
                                            "id": "55",
                                            "title": "Kylie Minogue",
                                        },
                                        "value": 0.8,
                                    }
                                ],
                                "remainder": 0.5,
                            },
                        }
                    ],
                }
            ]
        }
    )

    recommendation_id: str
    """Names this list; `POST /v1/outcomes` and `POST /v1/events` take it. It says who was answered
    and is signed: it can be read, and not be changed."""
    k: Count
    proof: ProofDocument | None = None
    """What `recsvc verify` makes the scores again from. Only with `proof=true`."""
    items: list[RankedItemDocument]
    short: str | None = None
    """Why there are fewer than `k` items; absent where there are `k`."""


class HomeRowDocument(Document):
    """Items that belong together, best first; `rank` is that in the row."""

    kind: Literal["because", "people", "new", "popular"]
    title: str
    evidence: NodeDocument | None
    """What its items are there for; null where that is not one thing."""
    recommendation_id: str | None
    """Of the list that they come from: what outcomes of this row are told by."""
    items: list[RankedItemDocument]


class HomeDocument(Document):
    """Several titled rows for a user, no item twice."""

    request_id: str
    user_id: str
    versions: dict[str, int]
    degraded: list[str]
    took_ms: float
    rows: list[HomeRowDocument]


class EvidenceAnswerDocument(RecommendationsDocument):
    """A list of recommendations for evidence that came in the body."""

    model_config = ConfigDict(json_schema_extra=None)  # the example is of a user's list

    unknown_kinds: list[str]
    """Kinds of events of the evidence that have no weight: they count nothing."""


class BatchDocument(Document):
    """Recommendations for many users."""

    answers: list[RecommendationsDocument]
    """In the order the users were named."""
    unknown: list[str]
    """Users who are not in the graph."""


class ExplainedItemDocument(_Answered, RankedItemDocument):
    """One item with its full explanation; `rank` is the one it has or would have."""


class SimilarNodeDocument(Document):
    """A neighbour under one model."""

    id: str
    title: str | None
    score: float
    """Cosine of the two embeddings."""
    rank: Annotated[int, Field(ge=1)]


class SimilarDocument(Document):
    """The nearest neighbours of an item or user, nearest first."""

    id: str
    model: str
    version: int
    items: list[SimilarNodeDocument]
    reason: str | None
    """Why there are none."""
    degraded: list[str]
    """What could not be read: `availability`."""


class EventsDocument(Document):
    """The events are in Neo4j, for good."""

    received: int
    """Events in the request."""
    new: int
    """Those that were not known by their `event_id`."""
    unknown_kinds: list[str]
    """Kinds of these events that have no weight: they are stored and count nothing until a setting
    gives them one."""


class OutcomesDocument(Document):
    """The outcomes are in Neo4j, for good."""

    received: int
    """Outcomes in the request."""
    new: int
    """Those that were not known."""
    dropped: int
    """Those whose user or item is not in the graph any more: nothing is stored of them."""


class WrittenDocument(Document):
    """It is in Neo4j, for good."""

    id: str
    """The node that was written, or the one that is followed."""
    made: bool
    """True, with status 201, where it was not there before; false, with 200, where it was."""


class LinkDocument(Document):
    """A category, and how strongly."""

    category_id: str
    weight: float


class _NodeDocument(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class UserDocument(_NodeDocument):
    """A user with all properties but embeddings."""

    user_id: str
    name: Any = None
    preferences: list[LinkDocument]
    """Categories they prefer, strongest first, a thousand at most."""


class ItemDocument(_NodeDocument):
    """An item with all properties but embeddings."""

    item_id: str
    title: Any = None
    created_at: Any = None
    available: Any = None
    categories: list[LinkDocument]
    """Categories it is in, strongest first, a thousand at most."""


class CategoryDocument(_NodeDocument):
    """A category with all its properties."""

    category_id: str
    name: Any = None
    kind: Any = None
    parent_id: str | list[str] | None
    """The category it belongs to; a list where it belongs to several."""


class ModelVersionDocument(BaseModel):
    """One embedding version, with all that is recorded of it."""

    model_config = ConfigDict(extra="allow")

    model: str
    version: int
    status: str
    slot: str | None = None
    unreadable: list[str] = []
    """Properties that somebody edited and that cannot be read; they are left out."""


class PendingDeletionsDocument(Document):
    """Deletions that are not finished in all stored arrays."""

    pending: int
    since: datetime | None
    """When the oldest was asked for."""
    reason: str | None
    """What stopped one the last time; null where they wait for a refresh, or are worked on."""


class ModelsDocument(Document):
    """All versions of all models."""

    models: list[ModelVersionDocument]
    deletions: PendingDeletionsDocument


class ActivatedDocument(Document):
    """What is active now, of all that one refresh made."""

    versions: dict[str, int]
    """The number of the version, by model."""


class HealthDocument(Document):
    """The service runs."""

    status: str


class ReadyDocument(HealthDocument):
    """The service can answer."""

    degraded: dict[str, str]
    """What answers or writes lack, and why, by part: `neo4j`, `snapshot`, `writes`."""


class FieldError(Document):
    """What is wrong with one field of a request."""

    location: list[str | int]
    """Where: `path`, `query` or `body`, then the way to the field."""
    detail: str


class ProblemDocument(Document):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    """Path of the request."""
    request_id: str
    errors: list[FieldError] | None = None
    """Only with status 422: the first hundred fields that are wrong."""
    reasons: dict[str, Any] | None = None
    """Only from `/health/ready`: what is not ready, by part."""
