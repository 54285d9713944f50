"""Kinds of events: what each says about a user's taste."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

_SHOWN = 80
_IGNORED = str.maketrans("", "", "-_ ")


class EventSettings(BaseModel):
    """What one kind of event says about a user's taste."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=1.0, ge=-100.0, le=100.0)
    """Factor on the strength of every interaction of this kind; negative for a dislike."""
    exponent: float = Field(default=0.0, ge=0.0, le=1.0)
    """How much the stored weight counts: 0 not at all (a listen is a listen), 1 in proportion."""
    half_life_days: float | None = Field(default=None, gt=0.0)
    """Days after which an interaction counts half; unset, age does not matter."""
    hides: bool = False
    """Whether the item never comes back for a user after an event of this kind."""


NOTHING = EventSettings(weight=0.0)
"""What a kind without settings says."""

_WEIGHTS: Mapping[float, str] = MappingProxyType({
    1.0: "interaction purchase buy order transaction subscribe checkin visit booking "
         "rating review listen play stream scrobble watch read download install "
         "like love thumbs_up upvote",
    0.2: "favourite favorite fav wishlist add_to_wishlist save bookmark share follow",
    0.1: "cart add_to_cart basket add_to_basket begin_checkout checkout",
    0.01: "view page_view view_item click open",
    0.0: "impression search",
    -0.1: "skip skipped",
    -0.19: "remove_from_cart remove_from_basket",
    -0.2: "unfavourite unfavorite remove_from_wishlist unsave unfollow",
    -1.0: "return refund cancel cancellation unsubscribe uninstall "
          "returned refunded cancelled canceled unsubscribed uninstalled "
          "dislike unlike thumbs_down downvote not_interested hide dismiss block report "
          "disliked unliked downvoted hidden dismissed blocked reported",
})  # fmt: skip
_HIDING = frozenset({"hide", "hidden", "block", "blocked"})
_EXPONENTS: Mapping[float, str] = MappingProxyType({
    0.3: "listen play stream scrobble watch",
    0.5: "rating review",
})  # fmt: skip


def default_events() -> dict[str, EventSettings]:
    """The kinds that have a weight from the start."""
    exponents = {name: value for value, names in _EXPONENTS.items() for name in names.split()}
    return {
        name: EventSettings(weight=weight, exponent=exponents.get(name, 0.0), hides=name in _HIDING)
        for weight, names in _WEIGHTS.items()
        for name in names.split()
    }


@lru_cache(maxsize=1024)
def kind_key(name: str) -> str:
    """What kinds are compared by: `ADD_TO_CART`, `add-to-cart` and `AddToCart` are one kind."""
    return name.lower().translate(_IGNORED)


def shown_kind(name: str) -> str:
    """A kind for people to read: quoted, and cut where it is long."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def named_as(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that means the same kind; None where there is none."""
    key = kind_key(name)
    return next((other for other in names if kind_key(other) == key), None)


def find_kind(name: str, events: Mapping[str, EventSettings]) -> EventSettings | None:
    """The settings of a kind of event; None where it has none, so that it counts nothing."""
    settings = events.get(name)
    if settings is not None:
        return settings
    spelling = named_as(name, events)
    return None if spelling is None else events[spelling]


def unknown_kinds(names: Iterable[str], events: Mapping[str, EventSettings]) -> list[str]:
    """Those of some kinds that have no settings, and so count nothing, sorted."""
    return [name for name in sorted(set(names)) if find_kind(name, events) is None]


def speaking_kinds(names: Iterable[str], events: Mapping[str, EventSettings]) -> tuple[str, ...]:
    """The kinds that speak for an item: those whose weight is above 0.

    Args:
        names: kinds as the graph spells them.
        events: settings by kind of event.

    Returns:
        Sorted: names of the settings, and the spellings of the graph.
    """
    settings = {name: find_kind(name, events) for name in {*events, *names}}
    return tuple(sorted(name for name, kind in settings.items() if kind and kind.weight > 0.0))


def merged_events(given: Mapping[str, EventSettings]) -> dict[str, EventSettings]:
    """The default kinds, with what is given of some of them and with further ones.

    Raises:
        ValueError: two of the given names mean the same kind.
    """
    events = default_events()
    named: dict[str, str] = {}
    for name, settings in given.items():
        other = named.setdefault(kind_key(name), name)
        if other != name:
            raise ValueError(f"{other!r} and {name!r} are the same kind of event: name it once")
        spelling = named_as(name, events) or name
        update = settings.model_dump(exclude_unset=True)
        events[spelling] = events.get(spelling, EventSettings()).model_copy(update=update)
    return events
