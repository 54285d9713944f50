"""What goes in and out where somebody looks: searches, and what is known about a user."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from loaders.limits import MAX_ID_CHARACTERS
from recsvc.evidence import EvidenceKind
from recsvc.service.schemas import Document

SearchText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]
"""What was typed."""
Found = Annotated[int, Field(ge=1, le=100)]
"""How many are wanted."""


class SearchOptions(Document):
    """What to look for."""

    search: SearchText
    """The beginning of an id, or words of a title or name: whole or by their beginning."""
    k: Found = 10
    """How many are wanted."""


class UserSearchOptions(Document):
    """Which users to look for: `search` or `at`, not both."""

    search: SearchText | None = None
    """The beginning of an id, or words of a name: whole or by their beginning. Left out, all users
    count."""
    at: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """A place among all users, which are in no particular order: a random number draws some. Only
    without `search`; left out, 0."""
    k: Found = 10
    """How many are wanted."""

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.search is not None and self.at is not None:
            raise PydanticCustomError("search", "expected search or at, not both")
        return self


class FoundNodeDocument(Document):
    """A node that was found."""

    id: str
    title: str | None
    """Title or name."""
    count: int
    """Items of a user, interactions with an item, items in a category."""


class FoundDocument(Document):
    """What was found, the likeliest first."""

    found: list[FoundNodeDocument]


class InteractionDocument(Document):
    """What a user did with an item, all events of one kind together."""

    event: str
    weight: float
    """As the graph holds it: a number of listens, a rating."""
    at: str | None
    """When they did it last, in ISO 8601; null where nobody knows."""


class EvidenceDocument(Document):
    """One piece of evidence."""

    kind: EvidenceKind
    """An item they did something with, a user they follow, a category they prefer."""
    id: str
    title: str | None
    weight: float
    """How much it counts, before any signal; negative for a dislike."""
    interactions: list[InteractionDocument]
    """Empty but for items; the newest first."""


class KnownDocument(Document):
    """What is known about a user at this moment."""

    user_id: str
    seen: int
    """Items they did anything with, evidence or not."""
    evidence: list[EvidenceDocument]
    """Items, the newest first; whom they follow; what they prefer."""
