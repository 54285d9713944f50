"""What is asked of the feed of changes, and what goes out of it."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from loaders.limits import MAX_EXACT_FLOAT
from recsvc.evidence import EvidenceKind
from recsvc.graph.change_store import MAX_CHANGES
from recsvc.service.schemas import Document, whole

_Whole = BeforeValidator(whole)


class ChangesOptions(Document):
    """Which part of the feed is wanted."""

    after: Annotated[int, Field(ge=0, le=MAX_EXACT_FLOAT), _Whole] = 0
    """The position after which it begins: `next` of the answer before, or 0 for the beginning."""
    limit: Annotated[int, Field(ge=1, le=MAX_CHANGES), _Whole] = 100
    """How many changes at most."""


class GraphChangeDocument(Document):
    """Something that was changed."""

    position: int
    """Its place in the order of all changes; the next one's is one more."""
    at: str
    """When it was committed."""
    change: Literal["event", "retraction", "put", "follow", "unfollow", "deletion", "removed"]
    """What was done. `removed` stands where a change named what was deleted since."""
    kind: EvidenceKind | None = None
    """Of what was put or deleted."""
    user_id: str | None = None
    other_id: str | None = None
    """Who is followed."""
    item_id: str | None = None
    category_id: str | None = None
    event_id: str | None = None
    event: str | None = None
    """Kind of event; of a retraction, left out, all kinds."""
    value: float | None = None
    timestamp: str | None = None
    """When the event happened."""
    digest: str | None = None
    """Of what was deleted: SHA-256, in hexadecimal, of its kind, a zero byte and its id."""


class ChangesDocument(Document):
    """A part of the feed."""

    changes: list[GraphChangeDocument]
    """In the order in which they were committed."""
    next: int
    """The position to ask after for what comes next."""
    last: int
    """The last position that was given."""
