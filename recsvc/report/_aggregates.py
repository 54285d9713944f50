"""What Neo4j adds up itself, because the arrays of the graph do not hold it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row
from recsvc.event_kinds import EventSettings, find_kind, unknown_kinds
from recsvc.report._figures import (
    TOP,
    Bin,
    CategoryKind,
    EventKind,
    Named,
    Properties,
    Values,
)

_BINS = 20
_LOGARITHMIC_RATIO = 1_000.0
"""Positive values that span more than this are put in bins of one ratio: in bins of one width,
nearly all of them would be in the first."""


@dataclass(frozen=True, slots=True)
class EventTotals:
    """All kinds of events.

    Attributes:
        kinds: how many there are.
        top: the most frequent ones.
        first_millis: Unix milliseconds of the earliest event; None where no time is known.
        last_millis: Unix milliseconds of the latest event.
        implausible: interactions with a time before 1970 or in the future.
        unknown: the kinds that have no weight.
        unreadable: interactions of which something cannot be read, which is left out.
    """

    kinds: int
    top: tuple[EventKind, ...]
    first_millis: int | None
    last_millis: int | None
    implausible: int
    unknown: tuple[str, ...]
    unreadable: int


def event_totals(
    gateway: Gateway,
    progress: Callable[[str, int, int], None],
    events: Mapping[str, EventSettings],
    *,
    now: float,
) -> EventTotals:
    """Add up the interactions by kind of event.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    kinds = gateway.run(catalogue()["report/events"], latest_millis=int(now * 1_000))
    rows = [row for row in kinds if row["event"]]
    first, last = ([row[f"{end}_millis"] for row in rows] for end in ("first", "last"))
    top: list[EventKind] = []
    for done, row in enumerate(rows[:TOP], start=1):
        top.append(_event_kind(gateway, row, events))
        progress("values", done, min(len(rows), TOP))
    return EventTotals(
        kinds=len(rows),
        top=tuple(top),
        first_millis=min((millis for millis in first if millis is not None), default=None),
        last_millis=max((millis for millis in last if millis is not None), default=None),
        implausible=sum(row["implausible"] for row in rows),
        unknown=tuple(unknown_kinds((row["event"] for row in rows), events)),
        unreadable=sum(row["unreadable"] for row in kinds),
    )


def labels(gateway: Gateway) -> tuple[Named, ...]:
    """Nodes by label.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    return _named(gateway.run(catalogue()["report/labels"], limit=TOP))


def relationship_types(gateway: Gateway) -> tuple[Named, ...]:
    """Relationships by type.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    return _named(gateway.run(catalogue()["report/relationship_types"], limit=TOP))


def category_kinds(gateway: Gateway) -> tuple[CategoryKind, ...]:
    """Categories by kind.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["report/category_kinds"], limit=TOP)
    return tuple(CategoryKind(row["kind"], row["categories"], row["links"]) for row in rows)


def properties(gateway: Gateway, label: str, nodes: int) -> Properties:
    """The properties that the nodes of a label have.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()[f"report/properties[{label}]"], limit=TOP)
    return Properties(label, nodes, _named(rows))


def _named(rows: list[Row]) -> tuple[Named, ...]:
    return tuple(Named(row["name"], row["total"]) for row in rows)


def _event_kind(gateway: Gateway, row: Row, events: Mapping[str, EventSettings]) -> EventKind:
    settings = find_kind(row["event"], events)
    return EventKind(
        name=row["event"],
        relationships=row["relationships"],
        events=row["events"],
        weight=row["weight"],
        negative=row["negative"],
        timed=row["timed"],
        values=_values(gateway, row) if row["valued"] else None,
        setting=None if settings is None else settings.weight,
    )


def _values(gateway: Gateway, row: Row) -> Values:
    lowest, highest = row["lowest"], row["highest"]
    counts = gateway.run(catalogue()["report/value_counts"], event=row["event"], limit=TOP)
    if counts:
        scale = "exact"
        bins = tuple(Bin(count["value"], count["value"], count["total"]) for count in counts)
    else:
        scale = "logarithmic" if 0.0 < lowest * _LOGARITHMIC_RATIO < highest else "linear"
        bins = _bins(gateway, row["event"], lowest, highest, logarithmic=scale == "logarithmic")
    return Values(row["valued"], lowest, highest, row["mean"], scale, bins)


def _bins(
    gateway: Gateway, event: str, lowest: float, highest: float, *, logarithmic: bool
) -> tuple[Bin, ...]:
    low, high = (math.log(lowest), math.log(highest)) if logarithmic else (lowest, highest)
    width = high / _BINS - low / _BINS
    rows = gateway.run(
        catalogue()["report/value_bins"],
        event=event,
        logarithmic=logarithmic,
        lowest=low,
        width=width,
        highest_bin=_BINS - 1,
    )
    totals = {row["bin"]: row["total"] for row in rows}
    inner = [low + width * n for n in range(1, _BINS)]
    edges = [lowest, *(math.exp(edge) if logarithmic else edge for edge in inner), highest]
    return tuple(Bin(edges[n], edges[n + 1], totals.get(n, 0)) for n in range(_BINS))
