"""What requests name and ask for, as the OpenAPI document describes it; they are checked."""

from typing import Annotated, Any, ClassVar, Final, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from loaders.limits import (
    MAX_ANSWERS,
    MAX_BATCH,
    MAX_DOCUMENT_NAME,
    MAX_EVIDENCE,
    MAX_EXACT_FLOAT,
    MAX_ID_CHARACTERS,
    MAX_KIND_CHARACTERS,
    NO_IDS,
)
from recsvc.answer import ExplainLevel
from recsvc.evidence import EvidenceKind
from recsvc.outcomes import recommendation_id as ids
from recsvc.recommend.query import STATED, EvidenceKey, RecommendationQuery
from recsvc.scenarios.document import Scenario


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


def whole(value: object) -> object:
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


NOT_BLANK: Final = r"[^\s\u001c-\u001f\u0085]"
"""What is not of blanks only, as a pattern of JSON Schema."""
NAMES_ONE: Final[dict[str, JsonValue]] = {"not": {"enum": [*NO_IDS]}, "pattern": NOT_BLANK}
"""What `names_one` asks, in JSON Schema: no such word, and not blank."""
NewId = Annotated[Id, AfterValidator(names_one), Field(json_schema_extra=NAMES_ONE)]
"""An id that a node may be made with."""
_KindText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KIND_CHARACTERS)]
Kind = Annotated[_KindText, BeforeValidator(text_of, json_schema_input_type=_KindText | int)]
"""A kind of event."""
EvidenceName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(item|user|category):[\s\S]+$", max_length=MAX_ID_CHARACTERS + len("category:")
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


Count = Annotated[int, Field(ge=1, le=MAX_ANSWERS), BeforeValidator(whole)]
"""How many answers are wanted."""
VersionNumber = Annotated[int, Field(ge=1, le=2**31), BeforeValidator(whole)]
"""The number of a version."""
SeenNumber = Annotated[int, Field(ge=0, le=2**31), BeforeValidator(whole)]
"""The number of a revision, or 0 for none."""


ScenarioName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DOCUMENT_NAME)]
"""The name of a scenario: short, since each `recommendation_id` has it."""


def not_blank(name: str) -> str:
    """The name that a document is to be stored under.

    Raises:
        PydanticCustomError: it is of blanks only, which nobody sees.
    """
    if not name.strip():
        raise PydanticCustomError("blank", "expected a name that is not of blanks only")
    return name


class Document(BaseModel):
    """What goes in or out, with no other fields than these."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class RequestBody(Document):
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


class RecommendationOptions(Document):
    """What a caller may ask of a list of recommendations."""

    k: Count = 10
    """How many items."""
    category: Annotated[list[Id], Field(max_length=MAX_EVIDENCE), at_most(MAX_EVIDENCE)] = []
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

    scenario: ScenarioName | None = None
    """The stored scenario that the list is made by. What the request says of `k`, `diversity` and
    `exclude_seen` wins over what the scenario says."""
    recommendation_id: (
        Annotated[str, StringConstraints(min_length=1, max_length=ids.MAX_ID_CHARACTERS)] | None
    ) = None
    """Of an earlier answer under this scenario: what it tried out is drawn again, so that it can be
    explained, or asked again without some evidence."""

    proof: bool = False
    """Whether the answer carries what `recsvc verify` makes its scores again from."""

    def query(self) -> RecommendationQuery:
        """The same as the engine takes it."""
        return RecommendationQuery(
            k=self.k,
            categories=tuple(self.category),
            exclude_seen=self.exclude_seen,
            explain=self.explain,
            diversity=self.diversity,
            exclude=tuple(self.exclude),
            without=tuple(evidence_key(name) for name in self.without),
            signal=self.signal,
            version=self.version,
            scenario=self.scenario,
            stated=frozenset(self.model_fields_set & STATED),
            recommendation_id=self.recommendation_id,
            proof=self.proof,
        )


def evidence_key(name: str) -> EvidenceKey:
    """The piece of evidence that an `EvidenceName` names."""
    kind, _, node_id = name.partition(":")
    return cast(EvidenceKind, kind), node_id


class SimilarOptions(Document):
    """What a caller may ask of a list of neighbours."""

    k: Count = 10
    """How many neighbours."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """The embedding model; left out, the service chooses."""


class RecourseOptions(Document):
    """Which list an item is to come into, and by what."""

    k: Count = 10
    """How many items the list has."""
    event: Kind = "interaction"
    """The kind of event that is added."""


class ItemRecourseOptions(RecourseOptions):
    """Which lists an item is to come into, of how many users, and by what."""

    users: Annotated[int, Field(ge=1, le=50)] = 20
    """How many users are looked at: those who have items like it, then some drawn by chance."""


class AudienceOptions(Document):
    """Of which lists and outcomes the places are counted."""

    users: Annotated[int, Field(ge=1, le=500)] = 100
    """Of how many users, drawn anew for each answer."""
    k: Count = 10
    """How many items of the list of each."""
    days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Of which last days outcomes count."""


class ExposureOptions(AudienceOptions):
    """Of which lists exposure is measured."""

    property: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """A property of items, such as `brand`: what the items of each of its values have."""
    group: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """A property of users, such as `country`: how even the lists of each of its values are."""


class ScenarioIn(RequestBody, Scenario):
    """A scenario that is to be stored."""


class TryRequest(RequestBody):
    """A scenario that is tried on a user."""

    scenario: Scenario
    user_id: Id


class BatchRequest(RequestBody, RecommendationOptions):
    """Recommendations for many users."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_ids": ["2", "3"], "k": 5}]})

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_BATCH), at_most(MAX_BATCH)]
