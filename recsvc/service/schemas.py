"""What goes in and out over HTTP, as the OpenAPI document describes it.

Requests are checked against these models. Answers are not: they are written from
`recsvc.answer.as_document`, and a contract test holds them against the models here.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from loaders.limits import (
    MAX_AMOUNT,
    MAX_ANSWERS,
    MAX_BATCH,
    MAX_EVIDENCE,
    MAX_EXACT_FLOAT,
    MAX_ID_CHARACTERS,
    MAX_KIND_CHARACTERS,
    NO_IDS,
)
from recsvc.answer import ExplainLevel
from recsvc.evidence import EvidenceKind
from recsvc.recommend.query import EvidenceKey, RecommendationQuery, StatedEvidence


def text_of(value: object) -> object:
    """A whole number as text, as in the tables; anything else as it came.

    Raises:
        PydanticCustomError: text that UTF-8 cannot hold, or a float that tells no whole number
            from the next.
    """
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError("unicode", "expected text in Unicode") from None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        if abs(value) > MAX_EXACT_FLOAT:
            raise PydanticCustomError(
                "inexact",
                "expected text, or a whole number within ±{most}",
                {"most": f"{MAX_EXACT_FLOAT:,}"},
            )
        return str(int(value))
    return value


def _whole(value: object) -> object:
    """A float without a fraction as the whole number it is in JSON Schema; else as it came."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


IdText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]
"""An id as text."""
Id = Annotated[IdText, BeforeValidator(text_of, json_schema_input_type=IdText | int)]
"""An id as text; whole numbers are read as text."""


def names_one(value: str) -> str:
    """An id that names one thing, as in the tables.

    Raises:
        PydanticCustomError: it is what programs write where there is none.
    """
    if value in NO_IDS or not value.strip():
        raise PydanticCustomError("no_id", "expected an id: this stands for none, as in the tables")
    return value


NewId = Annotated[
    Id, AfterValidator(names_one), Field(json_schema_extra={"not": {"enum": [*NO_IDS]}})
]
"""An id that a node may be made with."""
_KindText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KIND_CHARACTERS)]
Kind = Annotated[_KindText, BeforeValidator(text_of, json_schema_input_type=_KindText | int)]
"""A kind of event."""
EvidenceName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?s:(item|user|category):.+)$", max_length=MAX_ID_CHARACTERS + len("category:")
    ),
]
"""A piece of evidence: its kind, a colon and its id."""


def at_most(entries: int) -> BeforeValidator:
    """Refuse a list that is too long before any of its entries is looked at."""

    def check(value: object) -> object:
        length = len(cast("list[object]", value)) if isinstance(value, list) else 0
        if length > entries:
            told = {"field_type": "List", "max_length": entries, "actual_length": length}
            raise PydanticKnownError("too_long", told)
        return value

    return BeforeValidator(check)


Count = Annotated[int, Field(ge=1, le=MAX_ANSWERS), BeforeValidator(_whole)]
"""How many answers are wanted."""
VersionNumber = Annotated[int, Field(ge=1, le=2**31), BeforeValidator(_whole)]
"""The number of a version."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class RequestBody(_Document):
    """A JSON body; what it does not name is refused."""

    model_config = ConfigDict(strict=True)
    more_fields: ClassVar[int] = 10
    """How many unknown fields are told of one by one."""

    @model_validator(mode="before")
    @classmethod
    def _is_json(cls, body: object) -> object:
        if isinstance(body, bytes):
            raise PydanticCustomError("content_type", "expected Content-Type: application/json")
        most = len(cls.model_fields) + cls.more_fields
        # Each of them would be an error of its own, and a hundred are shown.
        if isinstance(body, dict) and len(cast("dict[str, Any]", body)) > most:
            raise PydanticCustomError("fields", "expected at most {most} fields", {"most": most})
        return body


class RecommendationOptions(_Document):
    """What a caller may ask of a list of recommendations."""

    k: Count = 10
    """How many items."""
    category: list[Id] = []
    """Only items in one of these categories."""
    exclude_seen: bool = True
    """Leave out items the user did something with already."""
    explain: ExplainLevel = "summary"
    """How much of an explanation comes with each item."""
    diversity: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """How much an item loses by being like one above it: 0 nothing; 1, if it is just like one, as
    much as lies between the best and the last of the items that are chosen from."""
    exclude: Annotated[list[Id], Field(max_length=MAX_EVIDENCE), at_most(MAX_EVIDENCE)] = []
    """Ids of items to leave out."""
    without: Annotated[
        list[EvidenceName], Field(max_length=MAX_EVIDENCE), at_most(MAX_EVIDENCE)
    ] = []
    """Evidence to answer without, such as `item:55`, `user:7` or `category:24`. The items among
    it are not recommended either."""
    signal: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """The one signal that counts, such as `lightgcn` or `pagerank`, at the weight 1 and beside the
    prior; left out, all count."""
    version: VersionNumber | None = None
    """The version of `hybrid` to answer from; left out, the active one."""

    def query(self) -> RecommendationQuery:
        """The same as the engine takes it."""
        return RecommendationQuery(
            k=self.k,
            categories=tuple(self.category),
            exclude_seen=self.exclude_seen,
            explain=self.explain,
            diversity=self.diversity,
            exclude=tuple(self.exclude),
            without=tuple(_evidence_key(name) for name in self.without),
            signal=self.signal,
            version=self.version,
        )


def _evidence_key(name: str) -> EvidenceKey:
    kind, _, node_id = name.partition(":")
    return cast(EvidenceKind, kind), node_id


class SimilarOptions(_Document):
    """What a caller may ask of a list of neighbours."""

    k: Count = 10
    """How many neighbours."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """The embedding model; left out, the service chooses."""


class EvidenceIn(RequestBody):
    """One thing somebody did."""

    item_id: Id
    event: Kind = "interaction"
    """Kind of event, which decides how much it counts."""
    weight: Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, allow_inf_nan=False)] = 1.0
    """How often or how much; negative for a dislike."""

    def stated(self) -> StatedEvidence:
        """The same as the engine takes it."""
        return StatedEvidence(self.item_id, self.event, self.weight)


class EvidenceRequest(RequestBody, RecommendationOptions):
    """Recommendations for evidence that is not in the graph."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"evidence": [{"item_id": "55"}, {"item_id": "89", "event": "listen"}], "k": 5}
            ]
        }
    )

    evidence: Annotated[
        list[EvidenceIn], Field(min_length=1, max_length=MAX_EVIDENCE), at_most(MAX_EVIDENCE)
    ]


class BatchRequest(RequestBody, RecommendationOptions):
    """Recommendations for many users."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_ids": ["2", "3"], "k": 5}]})

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_BATCH), at_most(MAX_BATCH)]


class NodeDocument(_Document):
    """A node of the graph; `id` is null for a person the asker does not follow."""

    kind: EvidenceKind
    id: str | None
    title: str | None


class ContributionDocument(_Document):
    """What one piece of evidence adds to the score through one signal."""

    signal: str
    evidence: NodeDocument
    value: float


class PathRelationshipDocument(_Document):
    """One step of a path; `from` and `to` are positions among its nodes."""

    type: str
    from_: Annotated[int, Field(alias="from", ge=0)]
    to: Annotated[int, Field(ge=0)]


class PathDocument(_Document):
    """A path that exists in the graph, and what it adds to the score."""

    contribution: float
    nodes: list[NodeDocument]
    relationships: list[PathRelationshipDocument]


class CounterfactualDocument(_Document):
    """Without this evidence the item is not in the list."""

    without: list[NodeDocument]
    replaced_by: str
    """An item that then is in the list."""


class ExplanationDocument(_Document):
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


class RankedItemDocument(_Document):
    """One recommended item; `signals` add up to `score`."""

    item_id: str
    title: str | None
    rank: Annotated[int, Field(ge=1)]
    score: float
    signals: dict[str, float]
    explanation: ExplanationDocument | None = None
    """Absent with `explain=none`."""


class _Answered(_Document):
    request_id: str
    """The same as the header `X-Request-Id`."""
    user_id: str | None
    """Null where the evidence came in the body."""
    versions: dict[str, int]
    """The active version of each model."""
    unknown: list[str] = []
    """What the request named and the graph does not have, such as `item:55`: a hundred at most."""
    degraded: list[str]
    """What had to be left out: Neo4j was away, or a deadline passed."""
    took_ms: float


class RecommendationsDocument(_Answered):
    """A list of recommendations, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "5f0c",
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

    k: Count
    items: list[RankedItemDocument]


class EvidenceAnswerDocument(RecommendationsDocument):
    """A list of recommendations for evidence that came in the body."""

    unknown_kinds: list[str]
    """Kinds of events of the evidence that have no weight: they count nothing."""


class BatchDocument(_Document):
    """Recommendations for many users."""

    answers: list[RecommendationsDocument]
    """In the order the users were named."""
    unknown: list[str]
    """Users who are not in the graph."""


class ExplainedItemDocument(_Answered, RankedItemDocument):
    """One item with its full explanation; `rank` is the one it has or would have."""


class SimilarNodeDocument(_Document):
    """A neighbour under one model."""

    id: str
    title: str | None
    score: float
    """Cosine of the two embeddings."""
    rank: Annotated[int, Field(ge=1)]


class SimilarDocument(_Document):
    """The nearest neighbours of an item or user, nearest first."""

    id: str
    model: str
    version: int
    items: list[SimilarNodeDocument]
    reason: str | None
    """Why there are none."""
    degraded: list[str]
    """What could not be read: `availability`."""


class EventsDocument(_Document):
    """The events are in Neo4j, for good."""

    received: int
    """Events in the request."""
    new: int
    """Those that were not known by their `event_id`."""
    unknown_kinds: list[str]
    """Kinds of these events that have no weight: they are stored and count nothing until a setting
    gives them one."""


class WrittenDocument(_Document):
    """It is in Neo4j, for good."""

    id: str
    """The node that was written, or the one that is followed."""
    made: bool
    """True, with status 201, where it was not there before; false, with 200, where it was."""


class LinkDocument(_Document):
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


class PendingDeletionsDocument(_Document):
    """Deletions that are not finished in all stored arrays."""

    pending: int
    since: datetime | None
    """When the oldest was asked for."""
    reason: str | None
    """What stopped one the last time; null where they wait for a refresh, or are worked on."""


class ModelsDocument(_Document):
    """All versions of all models."""

    models: list[ModelVersionDocument]
    deletions: PendingDeletionsDocument


class ActivatedDocument(_Document):
    """What is active now, of all that one refresh made."""

    versions: dict[str, int]
    """The number of the version, by model."""


class HealthDocument(_Document):
    """The service runs."""

    status: str


class ReadyDocument(HealthDocument):
    """The service can answer."""

    degraded: dict[str, str]
    """What answers or writes lack, and why, by part: `neo4j`, `snapshot`, `writes`."""


class FieldError(_Document):
    """What is wrong with one field of a request."""

    location: list[str | int]
    """Where: `path`, `query` or `body`, then the way to the field."""
    detail: str


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

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
