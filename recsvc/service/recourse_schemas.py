"""What goes out about what would bring items into lists."""

from typing import Annotated

from pydantic import Field

from recsvc.service.documents import NodeDocument
from recsvc.service.schemas import Document


class RecourseDocument(Document):
    """The smallest added evidence that brings an item into a user's list."""

    user_id: str
    item_id: str
    k: int
    event: str
    """The kind of event that each item is added by."""
    versions: dict[str, int]
    rank: Annotated[int, Field(ge=1)] | None
    """Place of the item in the list now; null where it is not in the list."""
    added: list[NodeDocument] | None
    """The items to add, none where it is in the list now; null where no set was found."""
    rank_then: Annotated[int, Field(ge=1)] | None
    """Its place with them."""
    certain: bool
    """That no smaller set does it; where none was found, that none of one or two items does."""
    reason: str | None
    """Why nothing can bring it into the list; null where something may."""


class AddedItemDocument(Document):
    """An item that is added, and for how many users."""

    id: str
    title: str | None
    users: int


class ItemRecourseDocument(Document):
    """What many users would have to do for an item to come into their lists."""

    item_id: str
    k: int
    event: str
    """The kind of event that each item is added by."""
    versions: dict[str, int]
    users: int
    """How many were looked at."""
    listed: int
    """How many of their lists have the item now."""
    sizes: dict[str, int]
    """For how many users a set of so many added items brings it in."""
    not_found: int
    """For how many no set was found."""
    never: int
    """How many can not get it: they did something with it, or it is not available."""
    items: list[AddedItemDocument]
    """The items that are in most of these sets, twenty at most."""
