"""A graph in Neo4j into the numbers of its report."""

import time
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from loaders.extract import extract_details, extract_graph
from loaders.gateway import Gateway
from loaders.types import HeteroGraph
from recsvc.event_kinds import EventSettings, default_events
from recsvc.report import _aggregates as aggregates
from recsvc.report import _measures as measures
from recsvc.report._figures import Events, Report, Size, Times
from recsvc.report._measures import Pairs
from recsvc.report._notes import notes

_LABELS: tuple[Literal["User", "Item", "Category"], ...] = ("User", "Item", "Category")


def build_report(
    gateway: Gateway,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    *,
    events: Mapping[str, EventSettings] | None = None,
    now: float | None = None,
) -> Report:
    """Read the graph and describe it.

    Args:
        gateway: the graph.
        progress: told what is done.
        events: settings by kind of event; the defaults unless given.
        now: Unix seconds after which a time is in the future; the present unless given.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    now = time.time() if now is None else now
    kinds = default_events() if events is None else events
    graph = extract_graph(gateway, progress)
    details = extract_details(gateway, graph.items, graph.categories)
    totals = aggregates.event_totals(gateway, progress, kinds, now=now)
    pairs = Pairs(graph)
    size = _size(gateway, graph, pairs)
    degrees = measures.degrees(graph, pairs, details)
    events_of_graph = Events(
        totals.kinds, totals.top, pairs.several_events, pairs.duplicates, totals.unknown,
        totals.unreadable,
    )  # fmt: skip
    times = _times(graph, totals, now=now)
    components = measures.components(graph, pairs)
    items = measures.item_quality(details)
    nodes = (len(graph.users), len(graph.items), len(graph.categories))
    return Report(
        size=size,
        degrees=degrees,
        events=events_of_graph,
        times=times,
        follows=measures.follows(graph),
        categories=measures.categories(graph, details, aggregates.category_kinds(gateway)),
        components=components,
        cold_users=measures.cold_users(graph, pairs),
        cold_items=measures.cold_items(graph, pairs),
        properties=tuple(
            aggregates.properties(gateway, label, count)
            for label, count in zip(_LABELS, nodes, strict=True)
        ),
        item_quality=items,
        notes=notes(size, degrees, events_of_graph, times, components, items),
    )


def _size(gateway: Gateway, graph: HeteroGraph, pairs: Pairs) -> Size:
    possible = len(graph.users) * len(graph.items)
    return Size(
        users=len(graph.users),
        items=len(graph.items),
        categories=len(graph.categories),
        interactions=len(graph.interactions),
        pairs=len(pairs),
        density=len(pairs) / possible if possible else None,
        labels=aggregates.labels(gateway),
        types=aggregates.relationship_types(gateway),
    )


def _times(graph: HeteroGraph, totals: aggregates.EventTotals, *, now: float) -> Times:
    timed = int((~np.isnan(graph.interactions.last_at)).sum())
    unit, periods = measures.periods(graph, now=now)
    return Times(
        first=_day(totals.first_millis),
        last=_day(totals.last_millis),
        timed=timed,
        without=len(graph.interactions) - timed,
        implausible=totals.implausible,
        unit=unit,
        periods=periods,
    )


def _day(millis: int | None) -> str | None:
    """The day as ISO 8601; numpy's days go beyond the year 9999."""
    return None if millis is None else str(np.datetime64(millis, "ms").astype("datetime64[D]"))
