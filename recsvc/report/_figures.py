"""The numbers of a report: plain, frozen, and as many for a large graph as for a small one."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from recsvc.report._distribution import Distribution

TOP = 20
"""The longest list a report holds of anything that a graph may hold many of."""


@dataclass(frozen=True, slots=True)
class Named:
    """How many there are of what has a name."""

    name: str
    total: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A node that has much of something.

    Attributes:
        id: its outer id.
        title: its title or name; "" where it has none, and for users.
        total: how much.
    """

    id: str
    title: str
    total: int


@dataclass(frozen=True, slots=True)
class Size:
    """How large the graph is.

    Attributes:
        users: nodes labelled User.
        items: nodes labelled Item.
        categories: nodes labelled Category.
        interactions: INTERACTED relationships.
        pairs: pairs of a user and an item with at least one of them.
        density: share of all possible pairs that have one; None without a user or an item.
        labels: nodes by label, the most frequent labels.
        types: relationships by type, the most frequent types.
    """

    users: int
    items: int
    categories: int
    interactions: int
    pairs: int
    density: float | None
    labels: tuple[Named, ...]
    types: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Degrees:
    """How many different items users have, and users items.

    Attributes:
        items_per_user: over all users, also those with none.
        users_per_item: over all items, also those with none.
        top_users: the users with the most items.
        top_items: the items with the most users.
    """

    items_per_user: Distribution | None
    users_per_item: Distribution | None
    top_users: tuple[Ranked, ...]
    top_items: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """Values from `low` to below `high`, to `high` itself in the last bin; or one value."""

    low: float
    high: float
    total: int


@dataclass(frozen=True, slots=True)
class Values:
    """The values, such as ratings, of one kind of event.

    Attributes:
        total: relationships that have one.
        lowest: smallest value.
        highest: largest value.
        mean: arithmetic mean.
        scale: what the bins are: each value its own, of one width, or of one ratio.
        bins: how often the values come, ascending.
    """

    total: int
    lowest: float
    highest: float
    mean: float
    scale: Literal["exact", "linear", "logarithmic"]
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class EventKind:
    """The interactions of one kind of event.

    Attributes:
        name: its name.
        relationships: INTERACTED relationships.
        events: the sum of their `count`.
        weight: the sum of their `weight`.
        negative: how many have a weight below 0.
        timed: how many have a time.
        values: their values; None where there are none.
        setting: the weight that the settings give the kind; None where they give it none, so that
            it counts nothing.
    """

    name: str
    relationships: int
    events: int
    weight: float
    negative: int
    timed: int
    values: Values | None
    setting: float | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """The interactions by kind of event.

    Attributes:
        kinds: how many kinds of events there are.
        top: the most frequent kinds.
        pairs_with_several: pairs of a user and an item with events of more than one kind.
        duplicates: relationships of the same user, item and event beyond the first; the loaders
            never make one.
        unknown: the kinds that have no weight.
        unreadable: interactions of which something cannot be read, which is left out.
    """

    kinds: int
    top: tuple[EventKind, ...]
    pairs_with_several: int
    duplicates: int
    unknown: tuple[str, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Times:
    """When the interactions were.

    Attributes:
        first: day of the earliest event, ISO 8601; None where no time is known.
        last: day of the latest event.
        timed: interactions with a time.
        without: interactions without one.
        implausible: interactions with a time before 1970 or in the future.
        unit: what a period is.
        periods: interactions by the month or year of their newest event, from the first period to
            the last without a gap, implausible times left out.
    """

    first: str | None
    last: str | None
    timed: int
    without: int
    implausible: int
    unit: Literal["month", "year"]
    periods: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Follows:
    """Who follows whom.

    Attributes:
        relationships: FOLLOWS relationships.
        followers: users who follow each user.
        followed: users whom each user follows.
        reciprocity: share of the relationships that go both ways; None where there are none.
    """

    relationships: int
    followers: Distribution | None
    followed: Distribution | None
    reciprocity: float | None


@dataclass(frozen=True, slots=True)
class CategoryKind:
    """The categories of one kind; kind "" is that of those without one."""

    kind: str
    categories: int
    links: int


@dataclass(frozen=True, slots=True)
class Categories:
    """What items belong to.

    Attributes:
        links: IN_CATEGORY relationships.
        items_per_category: items of each category.
        categories_per_item: categories of each item.
        items_without: items without a category.
        with_parent: categories that belong to another one.
        preferring_users: users who prefer a category.
        kinds: the most frequent kinds.
        top: the categories with the most items.
    """

    links: int
    items_per_category: Distribution | None
    categories_per_item: Distribution | None
    items_without: int
    with_parent: int
    preferring_users: int
    kinds: tuple[CategoryKind, ...]
    top: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True)
class Component:
    """Users and items that are connected through interactions."""

    users: int
    items: int


@dataclass(frozen=True, slots=True)
class Components:
    """The connected components of users and items with interactions.

    Attributes:
        total: how many there are.
        sizes: users and items in each.
        largest: the largest ones.
    """

    total: int
    sizes: Distribution | None
    largest: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class Cold:
    """Users, or items, with few interactions.

    Attributes:
        without: those with none.
        few: those with some, but with fewer than 5 different items or users.
        reachable: those of `without` that are reached another way. A user follows somebody who
            has interactions, or prefers a category with items. An item shares a category with an
            item that has interactions, or is in one that somebody prefers.
    """

    without: int
    few: int
    reachable: int


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties that nodes of one label have.

    Attributes:
        label: the label.
        nodes: how many nodes there are.
        top: nodes by the property they have, the most frequent properties.
    """

    label: str
    nodes: int
    top: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class ItemQuality:
    """What is missing at items.

    Attributes:
        without_title: items without a title.
        sharing_title: items whose title another item has too.
        unavailable: items that are marked as not available.
    """

    without_title: int
    sharing_title: int
    unavailable: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a data report says, as numbers, and in `notes` what deserves a look."""

    size: Size
    degrees: Degrees
    events: Events
    times: Times
    follows: Follows
    categories: Categories
    components: Components
    cold_users: Cold
    cold_items: Cold
    properties: tuple[Properties, ...]
    item_quality: ItemQuality
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """All of it as what JSON can hold."""
        return dataclasses.asdict(self)
