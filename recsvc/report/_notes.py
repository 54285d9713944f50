"""What in a graph deserves a look, one sentence each."""

from collections.abc import Iterator, Sequence

from recsvc.report._figures import (
    TOP,
    Components,
    Degrees,
    Events,
    ItemQuality,
    Ranked,
    Size,
    Times,
)
from recsvc.report._parts import readable
from recsvc.settings import SETTINGS_FILE
from recsvc.settings_file import event_line

_MANY_ITEMS = 10_000
_HALF_MATTERS_FROM = 100
"""In a graph of fewer users or items, half of them is no sign of anything."""


def notes(
    size: Size,
    degrees: Degrees,
    events: Events,
    times: Times,
    components: Components,
    items: ItemQuality,
) -> tuple[str, ...]:
    """The sentences; none where nothing was found."""
    return (
        *_busy_users(size, degrees.top_users),
        *_ubiquitous_items(size, degrees.top_items),
        *_odd_events(events),
        *_odd_times(times),
        *_split(components),
        *_poor_items(size, items),
    )


def _busy_users(size: Size, top: tuple[Ranked, ...]) -> Iterator[str]:
    limit = min(size.items / 2, _MANY_ITEMS)
    busy = [user for user in top if user.total >= limit]
    if busy and size.items >= _HALF_MATTERS_FROM:
        yield (
            f"Users with at least {limit:,.0f} of the {size.items:,} items: {_counted(busy)}. "
            f"{_first(busy)} Such a user may be a program, or several people with one id."
        )


def _ubiquitous_items(size: Size, top: tuple[Ranked, ...]) -> Iterator[str]:
    widespread = [item for item in top if item.total >= size.users / 2]
    if widespread and size.users >= _HALF_MATTERS_FROM:
        yield (
            f"Items that at least half of the {size.users:,} users have: {_counted(widespread)}. "
            f"{_first(widespread)} What so many have says little about any of them."
        )


def _odd_events(events: Events) -> Iterator[str]:
    if events.duplicates:
        yield (
            "INTERACTED relationships that repeat the user, item and event of another: "
            f"{events.duplicates:,}. The loaders never write that, so something else did."
        )
    if events.unknown:
        names = ", ".join(readable(kind) for kind in events.unknown[:TOP])
        yield (
            f"Kinds of events without a weight: {names}. They count nothing until "
            f"{SETTINGS_FILE} gives them one, with {event_line(events.unknown[0])} and the like "
            "above its first table."
        )
    if events.unreadable:
        yield (
            f"Interactions of which something cannot be read: {events.unreadable:,}. That is left "
            "out; the question data_quality of the analysts' queries names one of each kind."
        )
    for kind in events.top:
        name = readable(kind.name)
        if kind.values and kind.values.lowest == kind.values.highest and kind.values.total > 1:
            yield (
                f"All {kind.values.total:,} values of the event {name} are "
                f"{kind.values.lowest:g}. They tell nothing apart."
            )
        if kind.negative:
            yield (
                f"Interactions of the event {name} with a negative weight: {kind.negative:,}. "
                "They count against the item."
            )


def _odd_times(times: Times) -> Iterator[str]:
    if times.implausible:
        yield (
            f"Interactions with a time before 1970 or in the future: {times.implausible:,}. "
            "Check the unit and the time zone of the timestamps."
        )
    if times.timed and times.without:
        yield (
            f"Interactions without a time, while others have one: {times.without:,}. "
            "Where age counts, they count as new."
        )


def _split(components: Components) -> Iterator[str]:
    if components.total > 1:
        yield (
            "Parts of the graph that no interaction connects with another: "
            f"{components.total:,}. What people of one part did says nothing about the items of "
            "another."
        )


def _poor_items(size: Size, items: ItemQuality) -> Iterator[str]:
    if items.without_title:
        yield (
            f"Items without a title: {items.without_title:,} of {size.items:,}. "
            "Answers show their id."
        )
    if items.sharing_title:
        yield (
            f"Items that have their title in common with another: {items.sharing_title:,}. "
            "They may be the same thing under two ids."
        )
    if items.unavailable:
        yield (
            f"Items that are not available: {items.unavailable:,} of {size.items:,}. "
            "They are never recommended."
        )


def _counted(nodes: Sequence[Ranked]) -> str:
    return str(len(nodes)) if len(nodes) < TOP else f"{TOP} or more"


def _first(nodes: Sequence[Ranked]) -> str:
    title = f" ({readable(nodes[0].title)})" if nodes[0].title else ""
    return f"The first is {readable(nodes[0].id)}{title}, with {nodes[0].total:,}."
