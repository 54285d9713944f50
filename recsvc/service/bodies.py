"""Bodies of requests that write users, items, categories and follows."""

import re
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from loaders.limits import MAX_LINKS, MAX_NAME_CHARACTERS, MAX_PROPERTIES
from recsvc.recommend.graph_writer import PutNode
from recsvc.service.cells import Flag, KindText, Number, OptionalId, Property, Text, Time
from recsvc.service.schemas import NewId, RequestBody, VersionNumber, at_most


def _link(value: object) -> object:
    """A bare category id is a link of weight 1."""
    return {"category_id": value} if isinstance(value, str | int | float) else value


class LinkIn(RequestBody):
    """A category, and how strongly."""

    category_id: NewId
    weight: Number = None
    """A finite number within ±1,000,000; left out, 1."""


Links = Annotated[
    list[Annotated[LinkIn, BeforeValidator(_link, json_schema_input_type=LinkIn | NewId)]],
    Field(max_length=MAX_LINKS),
    at_most(MAX_LINKS),
]
"""Categories as `{"category_id", "weight"}` or as bare ids."""


_RESERVED: Final = re.compile("embedding_|retracted_at$")
_PROPERTY_NAMES: Final[dict[str, JsonValue]] = {
    "minLength": 1,
    "maxLength": MAX_NAME_CHARACTERS,
    "pattern": rf"^(?!{_RESERVED.pattern})[^\u0000]+$",
}
"""JSON Schema of the names that `_DescribedIn` takes."""


class _DescribedIn(RequestBody):
    """A node that may have any further properties."""

    model_config = ConfigDict(extra="allow")
    more_fields: ClassVar[int] = MAX_PROPERTIES + 10
    # Pydantic's own way of saying what further fields hold.
    __pydantic_extra__: dict[str, Property]  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _names_can_be_stored(self) -> "_DescribedIn":
        if len(self.__pydantic_extra__) > MAX_PROPERTIES:
            raise PydanticCustomError(
                "properties", "expected at most {most} further properties", {"most": MAX_PROPERTIES}
            )
        for name in self.__pydantic_extra__:
            if not 0 < len(name) <= MAX_NAME_CHARACTERS or "\0" in name:
                raise PydanticCustomError(
                    "name",
                    "a property's name has 1 to {most} characters, none of them NUL",
                    {"most": MAX_NAME_CHARACTERS},
                )
            if _RESERVED.match(name):
                raise PydanticCustomError(
                    "reserved", "this name of a property is reserved: choose another"
                )
        return self

    def _own_properties(self, *not_properties: str) -> dict[str, Any]:
        """What the node is to have; a missing value is not stored."""
        values = self.model_dump(exclude=set(not_properties))
        return {name: value for name, value in values.items() if value is not None}

    def _own_links(self, name: str) -> tuple[tuple[str, float], ...] | None:
        """The links given under a name; None where they were left out."""
        if name not in self.model_fields_set:
            return None
        links: list[LinkIn] = getattr(self, name)
        return tuple((each.category_id, _or_one(each.weight)) for each in links)


def _or_one(weight: float | None) -> float:
    return 1.0 if weight is None else weight


class UserIn(_DescribedIn):
    """A user; any further field is a property of theirs."""

    model_config = ConfigDict(
        json_schema_extra={
            "propertyNames": _PROPERTY_NAMES,
            "examples": [{"name": "Anna", "country": "NO", "preferences": ["24", "25"]}],
        }
    )

    user_id: OptionalId = None
    """May be left out; that of the address otherwise."""
    name: Text = None
    preferences: Links = Field(default_factory=list)
    """Categories they prefer. Given, they replace those there are; left out, those stay."""

    def change(self, user_id: str) -> PutNode:
        """The same as the engine takes it."""
        properties = self._own_properties("user_id", "preferences")
        return PutNode("user", user_id, properties, self._own_links("preferences"))


class ItemIn(_DescribedIn):
    """An item; any further field is a property of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "propertyNames": _PROPERTY_NAMES,
            "examples": [
                {
                    "title": "Blackout",
                    "created_at": "2007-10-25",
                    "price": 9.5,
                    "categories": ["24", {"category_id": "25", "weight": 2}],
                }
            ],
        }
    )

    item_id: OptionalId = None
    """May be left out; that of the address otherwise."""
    title: Text = None
    created_at: Time = None
    """ISO 8601 or Unix seconds, between 1970-01-02 and tomorrow."""
    available: Flag = None
    """Whether it may be recommended; left out, it may."""
    categories: Links = Field(default_factory=list)
    """Categories it is in. Given, they replace those there are; left out, those stay."""

    def change(self, item_id: str) -> PutNode:
        """The same as the engine takes it."""
        properties = self._own_properties("item_id", "categories")
        return PutNode("item", item_id, properties, self._own_links("categories"))


class CategoryIn(RequestBody):
    """A category."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Dance", "kind": "genre", "parent_id": "7"}]}
    )

    category_id: OptionalId = None
    """May be left out; that of the address otherwise."""
    name: Text = None
    kind: KindText = None
    """Genre, tag, brand, …"""
    parent_id: (
        OptionalId | Annotated[list[NewId], Field(max_length=MAX_LINKS), at_most(MAX_LINKS)]
    ) = None
    """The category it belongs to, or a list of them; null for none. Left out, those there are
    stay."""

    def change(self, category_id: str) -> PutNode:
        """The same as the engine takes it."""
        given = {"name": self.name, "kind": self.kind}
        properties = {name: value for name, value in given.items() if value is not None}
        links: tuple[tuple[str, float], ...] | None = None
        if "parent_id" in self.model_fields_set:
            links = tuple((parent_id, 1.0) for parent_id in self.parent_ids)
        return PutNode("category", category_id, properties, links)

    @property
    def parent_ids(self) -> list[str]:
        """The parents given."""
        if self.parent_id is None:
            return []
        return self.parent_id if isinstance(self.parent_id, list) else [self.parent_id]


class ActivateIn(RequestBody):
    """Which version becomes active."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 2}]})

    version: VersionNumber
    """Its number."""


class FollowIn(RequestBody):
    """What is known of a follow."""

    since: Time = None
    """ISO 8601 or Unix seconds, between 1970-01-02 and tomorrow."""
