"""What goes out about exposure."""

from recsvc.service.documents import RankedItemDocument
from recsvc.service.schemas import Document


class ShareDocument(Document):
    """What some of the items have."""

    items: int
    """How many they are."""
    places: float
    """Their share of all places."""
    catalogue: float
    """Their share of all items."""


class EvennessDocument(Document):
    """How even the places of some lists are."""

    places: int
    gini: float
    coverage: float


class SpreadDocument(Document):
    """How places are spread over items."""

    places: int
    """How many they are."""
    gini: float
    """0 where all items have as many places, towards 1 where one has all."""
    coverage: float
    """Share of the items that have a place at all."""
    deciles: list[ShareDocument]
    """The tenth of the items that most people have, the next tenth, and so on."""
    by_value: dict[str, ShareDocument]
    """By value of the property, the one with the most items first, 100 at most; an empty text
    stands for no value. Empty without `property`."""
    by_group: dict[str, EvennessDocument]
    """The lists of users with each value of the property `group`, the one with the most places
    first, 100 at most; an empty text stands for no value. Empty without `group`."""


class AnswersSpreadDocument(SpreadDocument):
    """How the places of lists are spread over items."""

    lists: int
    """How many lists."""


class ShownSpreadDocument(SpreadDocument):
    """How impressions are spread over items."""

    by_day: dict[str, EvennessDocument]
    """By day (UTC), the newest first."""


class ExposureDocument(Document):
    """How evenly items come to be seen."""

    versions: dict[str, int]
    answers: AnswersSpreadDocument
    """Of what would be answered now."""
    shown: ShownSpreadDocument
    """Of the impressions that were told."""


class HeldDocument(Document):
    """In how many lists an item stands."""

    lists: int
    """Of how many users, drawn by chance."""
    holding: int
    """How many of these lists have the item."""


class ReceiverDocument(Document):
    """The item as it stands in the list of a user."""

    user_id: str
    item: RankedItemDocument


class AudienceDocument(Document):
    """Who would get an item, and how often it is seen."""

    item_id: str
    versions: dict[str, int]
    answers: HeldDocument
    outcomes: dict[str, int]
    """How many of each kind were told, such as `impression` and `click`."""
    users: list[ReceiverDocument]
    """In whose lists it stands first, 10 at most: of those who were drawn, and of 50 who have items
    like it, of whose lists the first 100 items are looked at."""
