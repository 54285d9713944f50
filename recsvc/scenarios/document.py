"""The document of a scenario: what an operator writes, checked."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from loaders.limits import MAX_ANSWERS, MAX_ID_CHARACTERS, MAX_KIND_CHARACTERS

MAX_FILTERS = 20
MAX_RULES = 50
MAX_WHERE = 5
MAX_VALUES = 100
MAX_EXPLORED = 100
"""As many places as a `recommendation_id` knows."""
MAX_RAISE = 1_000.0
"""Largest amount of a boost, a bury or of freshness, in the units of a score."""

_WRONG = "scenario"
"""The type of what pydantic is told: with one of our own it puts nothing before the message."""
_OPERATORS = ("equals", "in_", "range", "exists", "newer_than_days")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def moment(value: object) -> object:
    """A time as text with its zone (ISO 8601) as a time; anything else as it came.

    Raises:
        PydanticCustomError: it is text and no such time.
    """
    if not isinstance(value, str):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise PydanticCustomError(
            _WRONG, "expected a time with its zone, such as 2026-12-01T00:00:00+01:00"
        )
    return at


def text_time(value: object) -> datetime | None:
    """A text as a time in UTC, where it is one of a year that Neo4j can be asked about."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        if at is None:
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


Text = Annotated[str, StringConstraints(max_length=MAX_ID_CHARACTERS)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]
PropertyName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
_Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Value = bool | _Whole | Number | Text
Moment = Annotated[datetime, BeforeValidator(moment, json_schema_input_type=str)]
Count = Annotated[int, Field(ge=1, le=MAX_ANSWERS), BeforeValidator(_whole)]
Amount = Annotated[float, Field(gt=0.0, le=MAX_RAISE, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0.0, le=36_525.0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True,
        populate_by_name=False, serialize_by_alias=True,
    )  # fmt: skip


class Range(_Part):
    """Values between two, both of which are in it."""

    min: Number | Text | None = None
    max: Number | Text | None = None

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.min is None and self.max is None:
            raise PydanticCustomError(_WRONG, "expected min, max or both")
        if isinstance(self.min, str) != isinstance(self.max, str) and None not in (
            self.min,
            self.max,
        ):
            raise PydanticCustomError(
                _WRONG, "expected min and max to be two numbers, or two texts"
            )
        return self

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        ends: list[Any] = [text_time(end) or end for end in (self.min, self.max)]
        if type(ends[0]) is type(ends[1]) and ends[0] > ends[1]:
            raise PydanticCustomError(
                _WRONG,
                "expected min at or below max: nothing lies between {low} and {high}",
                {"low": self.min, "high": self.max},
            )
        return self


class Condition(_Part):
    """What an item is asked: one property and one operator, or categories."""

    property: PropertyName | None = None
    """A property of the item as Neo4j has it, such as `price`, `brand` or `created_at`."""
    category: Annotated[list[Id], Field(min_length=1, max_length=MAX_VALUES)] | None = None
    """The item is in one of these categories, or in one below them."""
    equals: Value | None = None
    """The property has this value; of a list, one of its values is this."""
    in_: Annotated[list[Value] | None, Field(alias="in", min_length=1, max_length=MAX_VALUES)] = (
        None
    )
    """The property has one of these values."""
    range: Range | None = None
    """The property is a number, a text or a time (ISO 8601) between two."""
    exists: bool | None = None
    """The item has the property (true), or has not (false)."""
    newer_than_days: Days | None = None
    """The property is a time that is at most so many days ago."""
    negated: Annotated[bool, Field(alias="not")] = False
    """The opposite of it all."""

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        operators = [name for name in _OPERATORS if getattr(self, name) is not None]
        if (self.property is None) == (self.category is None):
            raise PydanticCustomError(_WRONG, "expected property or category")
        if len(operators) != (self.category is None):
            raise PydanticCustomError(
                _WRONG,
                "expected one of equals, in, range, exists, newer_than_days with a property, and "
                "none with a category",
            )
        return self

    def said(self) -> str:
        """The condition in words of its own document."""
        no = "not " if self.negated else ""
        if self.category is not None:
            return f"{no}in category {', '.join(self.category[:3])}"
        name = self.property
        if self.range is not None:
            low, high = self.range.min, self.range.max
            return f"{no}{name} in {'' if low is None else low}..{'' if high is None else high}"
        if self.newer_than_days is not None:
            return f"{no}{name} newer than {self.newer_than_days:g} days"
        if self.exists is not None:
            return f"{no}{name} {'exists' if self.exists else 'is missing'}"
        values = [self.equals] if self.in_ is None else self.in_
        return f"{no}{name} = {' | '.join(map(str, values[:3]))}"


Where = Annotated[list[Condition], Field(min_length=1, max_length=MAX_WHERE)]
"""Conditions that all hold."""


class _Timed(_Part):
    from_: Annotated[Moment | None, Field(alias="from")] = None
    """The rule counts from this moment on, which has a time zone."""
    until: Moment | None = None
    """The rule counts until this moment."""

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        for moment in (self.from_, self.until):
            if moment is not None and not 1 < moment.year < 9999:  # else UTC may have no such year
                raise PydanticCustomError(_WRONG, "expected from and until in the years 2 to 9998")
        if self.from_ is not None and self.until is not None and self.from_ >= self.until:
            raise PydanticCustomError(_WRONG, "expected from before until")
        return self

    def counts_at(self, now: datetime) -> bool:
        """Whether it counts at a moment."""
        began = self.from_ is None or self.from_ <= now
        return began and (self.until is None or now < self.until)


class Pin(_Timed):
    """An item at a place, whatever its score."""

    kind: Literal["pin"]
    item_id: Id
    place: Count


class Boost(_Timed):
    """What meets the conditions gains an amount of score."""

    kind: Literal["boost"]
    where: Where
    amount: Amount


class Bury(_Timed):
    """What meets the conditions loses an amount of score."""

    kind: Literal["bury"]
    where: Where
    amount: Amount


class Same(_Part):
    """What items share: a value of a property, or a category of a kind."""

    property: PropertyName | None = None
    category_kind: PropertyName | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.property is None) == (self.category_kind is None):
            raise PydanticCustomError(_WRONG, "expected property or category_kind")
        return self


class AtMost(_Timed):
    """So many items at most that share something or meet conditions."""

    kind: Literal["at_most"]
    count: Annotated[int, Field(ge=0, le=MAX_ANSWERS), BeforeValidator(_whole)]
    same: Same | None = None
    where: Where | None = None
    within: Count | None = None
    """Among the first so many places; in the whole list where it is left out."""

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if (self.same is None) == (self.where is None):
            raise PydanticCustomError(_WRONG, "expected same or where")
        return self


class AtLeast(_Timed):
    """So many items at least that meet the conditions, among the first so many places."""

    kind: Literal["at_least"]
    count: Count
    where: Where
    within: Count

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.count > self.within:
            raise PydanticCustomError(
                _WRONG,
                "count is {count}, expected at most within, {within}",
                {"count": self.count, "within": self.within},
            )
        return self


class AtLeastShare(_Timed):
    """What meets the conditions gets at least a share of the first places, by its scores.

    The items that are missing gain the least that brings them there, as the part `fairness`.
    """

    kind: Literal["at_least_share"]
    share: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
    """Of the first `within` places, rounded up to whole ones."""
    where: Where
    within: Count


_KINDS = ("pin", "boost", "bury", "at_most", "at_least", "at_least_share")


def _of_a_kind(value: object) -> object:
    if isinstance(value, dict) and cast(dict[str, object], value).get("kind") not in _KINDS:
        raise PydanticCustomError(_WRONG, f"expected a kind, one of {', '.join(_KINDS)}")
    return cast(object, value)


Rule = Annotated[
    Pin | Boost | Bury | AtMost | AtLeast | AtLeastShare,
    Field(discriminator="kind"),
    BeforeValidator(_of_a_kind),
]


class Freshness(_Part):
    """A boost that falls with age: amount · 2^(−age / half-life)."""

    amount: Amount
    half_life_days: Days
    property: PropertyName = "created_at"
    """The time that the age is counted from."""


class Exploration(_Part):
    """Some places are for items of which little is known, each with a chance that is kept."""

    share: Annotated[float, Field(ge=1e-6, le=0.5, allow_inf_nan=False)]
    """Of the first `within` places."""
    within: Annotated[int, Field(ge=1, le=MAX_EXPLORED), BeforeValidator(_whole)] = 10
    by: Literal["thompson", "linucb", "uniform"] = "thompson"
    """How the items are chosen that are tried out."""
    kind: Annotated[str, StringConstraints(min_length=1, max_length=MAX_KIND_CHARACTERS)] = "click"
    """The kind of outcome that they are to earn."""


class Scenario(_Part):
    """How the lists of one place of a shop are made."""

    filters: Annotated[list[Condition], Field(max_length=MAX_FILTERS)] = []
    """Only items that meet all of them are listed."""
    k: Count | None = None
    """How many items, where the request does not say."""
    diversity: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """See the parameter of the request, which wins."""
    exclude_seen: bool | None = None
    """See the parameter of the request, which wins."""
    weights: Annotated[
        dict[PropertyName, Annotated[float, Field(ge=0.0, le=1_000.0, allow_inf_nan=False)]],
        Field(max_length=50),
    ] = {}
    """What λ of a signal is multiplied by, by its name; 1 where it is not named."""
    freshness: Freshness | None = None
    rules: Annotated[list[Rule], Field(max_length=MAX_RULES)] = []
    exploration: Exploration | None = None
    """Nothing is tried out where it is left out."""

    def next_boundary(self, now: datetime) -> float | None:
        """When the next rule begins or ends to count, in Unix seconds; None where none does."""
        ends = [end for rule in self.rules for end in (rule.from_, rule.until)]
        coming = [end.timestamp() for end in ends if end is not None and end > now]
        return min(coming, default=None)

    def document(self) -> dict[str, Any]:
        """The same as JSON-ready values, what is not said left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
